/** Examples that are no tables, at a site: arrays, folders of images and sounds, IDX files, texts. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSeeded, writeNpz } from '../../../src/data/index.ts'
import type { AnyTensor } from '../../../src/onnx/index.ts'

/** Height and width of an image. */
export const SIDE = 8
const PIXELS = SIDE * SIDE
export const LABELS = ['falling', 'lying', 'standing']

export interface Image {
  readonly label: number
  /** Grey, SIDE x SIDE. */
  readonly pixels: Uint8Array
}

/** Bars in three directions, in noise. @param labels the classes that there are */
export function bars(seed: number, count: number, labels: readonly number[] = [0, 1, 2]): Image[] {
  const seeded = createSeeded(seed, 'bars')
  return Array.from({ length: count }, (_, at) => {
    const label = labels[at % labels.length]!
    const place = seeded.below(SIDE - 1)
    const pixels = Uint8Array.from({ length: PIXELS }, (__, index) => {
      const [row, column] = [Math.floor(index / SIDE), index % SIDE]
      const isOn = label === 0 ? row === column : label === 1 ? row === place : column === place
      return Math.max(0, Math.min(255, Math.round((isOn ? 200 : 40) + 25 * seeded.normal())))
    })
    return { label, pixels }
  })
}

/** Writes what describes a site's data. @returns its path */
export function described(folder: string, site: string, rest: object): string {
  const path = join(folder, `${site}.json`)
  writeFileSync(path, JSON.stringify({ schema: 'weft.fed-data/1', site, ...rest }))
  return path
}

/** A folder of folders, one a class that there is. Files are in the order of the images within each. */
export function imageFolder(folder: string, site: string, images: readonly Image[], more: object = {}): string {
  for (const [at, { label, pixels }] of images.entries()) {
    const own = join(folder, site, LABELS[label]!)
    mkdirSync(own, { recursive: true })
    const header = Buffer.from(`P5\n${SIDE} ${SIDE}\n255\n`)
    writeFileSync(join(own, `${String(at).padStart(4, '0')}.pgm`), Buffer.concat([header, pixels]))
  }
  return described(folder, site, { kind: 'images', path: site, ...more })
}

/** As MNIST's files. */
export function idxFiles(folder: string, site: string, images: readonly Image[], more: object = {}): string {
  const header = (...numbers: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(4 * numbers.length)
    for (const [at, number] of numbers.entries()) bytes.writeUInt32BE(number, 4 * at)
    return bytes
  }
  const pixels = images.map((image) => image.pixels)
  writeFileSync(join(folder, `${site}.images`), Buffer.concat([header(0x803, images.length, SIDE, SIDE), ...pixels]))
  const numbers = Uint8Array.from(images, ({ label }) => label)
  writeFileSync(join(folder, `${site}.labels`), Buffer.concat([header(0x801, images.length), numbers]))
  return described(folder, site, { kind: 'idx', images: `${site}.images`, labels: `${site}.labels`, ...more })
}

/** An archive with the arrays x and, where there is one, y. */
export async function archive(
  folder: string,
  site: string,
  x: AnyTensor,
  y?: AnyTensor,
  more: object = {},
): Promise<string> {
  const arrays = new Map([['x', x], ...(y === undefined ? [] : ([['y', y]] as const))] as const)
  await writeNpz(join(folder, `${site}.npz`), arrays)
  const target = y === undefined ? {} : { target: 'y' }
  return described(folder, site, { kind: 'npz', path: `${site}.npz`, input: 'x', ...target, ...more })
}

export function imageArchive(
  folder: string,
  site: string,
  images: readonly Image[],
  more: object = {},
): Promise<string> {
  const data = new Uint8Array(Buffer.concat(images.map(({ pixels }) => pixels)))
  const x: AnyTensor = { type: 'uint8', dims: [images.length, 1, SIDE, SIDE], data }
  const y: AnyTensor = { type: 'int32', dims: [images.length], data: Int32Array.from(images, ({ label }) => label) }
  return archive(folder, site, x, y, more)
}

/** float32 [count, ...dims], from a seed. */
export function drawn(seed: number, count: number, dims: readonly number[]): AnyTensor {
  const seeded = createSeeded(seed, 'drawn')
  const size = dims.reduce((product, dim) => product * dim, count)
  return { type: 'float32', dims: [count, ...dims], data: Float32Array.from({ length: size }, () => seeded.normal()) }
}

/** A number for each row of an array that follows from it. @param classes whole numbers below it, in place of reals */
export function labelsOf({ dims, data }: AnyTensor, classes?: number): AnyTensor {
  const [count = 0, ...rest] = dims
  const width = rest.reduce((product, size) => product * size, 1)
  const sums = Array.from({ length: count }, (_, row) => {
    const own = Array.from((data as Float32Array).subarray(row * width, (row + 1) * width))
    return own.reduce((sum, value, at) => sum + (at % 2 === 0 ? value : -value / 2), 0)
  })
  if (classes === undefined) return { type: 'float32', dims: [count], data: Float32Array.from(sums) }
  const bounded = sums.map((sum) => Math.max(0, Math.min(classes - 1, Math.floor(sum + classes / 2))))
  return { type: 'int32', dims: [count], data: Int32Array.from(bounded) }
}

/** The rows of one after those of the other. */
export function stacked(parts: readonly AnyTensor[]): AnyTensor {
  const [first] = parts
  const data = parts.flatMap((part) => Array.from(part.data as Float32Array, Number))
  const count = parts.reduce((sum, { dims }) => sum + dims[0]!, 0)
  const dims = [count, ...first!.dims.slice(1)]
  if (first!.type === 'float32') return { type: 'float32', dims, data: Float32Array.from(data) }
  return { type: 'int32', dims, data: Int32Array.from(data) }
}

/** 16-bit PCM, one channel. */
export function soundFolder(folder: string, site: string, sounds: readonly (readonly [string, Int16Array])[]): string {
  for (const [at, [name, samples]] of sounds.entries()) {
    mkdirSync(join(folder, site, name), { recursive: true })
    const bytes = Buffer.alloc(44 + 2 * samples.length)
    bytes.write('RIFF', 0)
    bytes.writeUInt32LE(36 + 2 * samples.length, 4)
    bytes.write('WAVEfmt ', 8)
    bytes.writeUInt32LE(16, 16)
    bytes.writeUInt16LE(1, 20)
    bytes.writeUInt16LE(1, 22)
    bytes.writeUInt32LE(1000, 24)
    bytes.writeUInt32LE(2000, 28)
    bytes.writeUInt16LE(2, 32)
    bytes.writeUInt16LE(16, 34)
    bytes.write('data', 36)
    bytes.writeUInt32LE(2 * samples.length, 40)
    for (const [place, sample] of samples.entries()) bytes.writeInt16LE(sample, 44 + 2 * place)
    writeFileSync(join(folder, site, name, `${String(at).padStart(3, '0')}.wav`), bytes)
  }
  return described(folder, site, { kind: 'wav', path: site })
}
