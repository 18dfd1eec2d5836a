/** Where the pictures come from: Fashion-MNIST as Debian or ../shared/data has it, or shapes that are drawn here. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { inData, named } from '../find.ts'

/** Of the package `dataset-fashion-mnist`. */
const DEBIAN = '/usr/share/datasets/fashion-mnist'

export interface Pictures {
  readonly from: string
  /** Of a plan: where the pictures lie, and which are for the test. */
  readonly plan: Readonly<Record<string, unknown>>
  readonly epochs: number
  /** Share of the pictures for the test that has to be right. */
  readonly least: number
}

export async function findPictures(folder: string): Promise<Pictures> {
  const whole = [named('data'), DEBIAN].find(
    (path) => path !== undefined && existsSync(join(path, 'train-images-idx3-ubyte.gz')),
  )
  const split = { share: { test: 0.2 } }
  if (whole !== undefined) {
    const plan = { data: pair(whole, 'train'), test: pair(whole, 't10k') }
    return { from: 'Fashion-MNIST', plan, epochs: 2, least: 0.88 }
  }
  const [images, labels] = [inData('images/t10k-images-idx3-ubyte.gz'), inData('images/t10k-labels-idx1-ubyte.gz')]
  if (images !== undefined && labels !== undefined) {
    const plan = { data: { kind: 'idx', images, labels }, split }
    return { from: 'the 10,000 test pictures of Fashion-MNIST', plan, epochs: 5, least: 0.85 }
  }
  return { from: 'shapes', plan: { data: await drawn(folder), split }, epochs: 3, least: 0.9 }
}

function pair(folder: string, part: string): Readonly<Record<string, string>> {
  const at = (name: string): string => join(folder, `${part}-${name}-ubyte.gz`)
  return { kind: 'idx', images: at('images-idx3'), labels: at('labels-idx1') }
}

const [COUNT, SIDE] = [1500, 28]

/** Ten shapes, bars of ten slopes, each at a place of its own and in noise. */
async function drawn(folder: string): Promise<Readonly<Record<string, string>>> {
  const seeded = createSeeded(3, 'shapes')
  const labels = Uint8Array.from({ length: COUNT }, () => seeded.below(10))
  const pixels = new Uint8Array(COUNT * SIDE * SIDE)
  for (const [at, label] of labels.entries()) {
    const [x, y, angle] = [10 + seeded.below(8), 10 + seeded.below(8), (label * Math.PI) / 10]
    for (let place = 0; place < SIDE * SIDE; place++) {
      const across = (place % SIDE) - x
      const distance = Math.abs(across * Math.sin(angle) - (Math.floor(place / SIDE) - y) * Math.cos(angle))
      pixels[at * SIDE * SIDE + place] = Math.max(0, 200 - 120 * distance) + seeded.below(50)
    }
  }
  const [images, names] = [join(folder, 'images'), join(folder, 'labels')]
  await writeFile(images, Buffer.concat([header(3, COUNT, SIDE, SIDE), pixels]))
  await writeFile(names, Buffer.concat([header(1, COUNT), labels]))
  return { kind: 'idx', images, labels: names }
}

function header(rank: number, ...sizes: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * rank)
  bytes.set([8, rank], 2)
  for (const [axis, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * axis)
  return bytes
}
