/** E1d: images out of the gradient of a convolutional net, by descent; and out of what leaves sites under the default policy. */
import { createSeeded } from '../../src/data/index.ts'
import type { Seeded } from '../../src/data/index.ts'
import { least, most } from './attack.ts'
import type { Attack, Size } from './attack.ts'
import { deepNetwork, PIXELS, SIDE } from './deep-network.ts'
import type { DeepNetwork } from './deep-network.ts'
import { protectedSum } from './inversion.ts'

/** Of the smallest cohort that a policy lets through. */
const RECORDS = 64
const STEPS = 400

/** Two soft spots on a slope of grey: images have shapes, and noise has none. */
function picture(seeded: Seeded): Float32Array {
  const spots = [0, 1].map(() => [seeded.uniform() * SIDE, seeded.uniform() * SIDE, 1 + seeded.uniform() * 2] as const)
  const [across, down] = [seeded.uniform(), seeded.uniform()]
  return Float32Array.from({ length: PIXELS }, (_, at) => {
    const [x, y] = [at % SIDE, Math.floor(at / SIDE)]
    const light = spots.reduce(
      (sum, [left, top, width]) => sum + Math.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * width ** 2)),
      0.2 * ((across * x + down * y) / SIDE),
    )
    return Math.min(1, light)
  })
}

/** Peak signal to noise, decibels: 20 is a likeness, 30 a copy. */
function psnr(one: Float32Array, other: Float32Array): number {
  const error = one.reduce((sum, value, at) => sum + (value - other[at]!) ** 2, 0) / PIXELS
  return -10 * Math.log10(Math.max(error, 1e-10))
}

const start = (seeded: Seeded): Float32Array =>
  Float32Array.from({ length: PIXELS }, () => 0.5 + 0.01 * seeded.normal())

/** The mean over networks and images of how like the found one is. */
async function alone(seeds: readonly number[]): Promise<number> {
  let sum = 0
  for (const seed of seeds) {
    const seeded = createSeeded(seed, 'deep')
    const network = await deepNetwork(seeded)
    const image = picture(seeded)
    const found = await network.invert(await network.gradient(image, seed % 4), seed % 4, start(seeded), STEPS)
    sum += psnr(found, image)
    await network.close()
  }
  return sum / seeds.length
}

/** How like the likest of the images is what is found behind a gradient, whichever label is tried. */
async function likest(
  network: DeepNetwork,
  wanted: Float32Array,
  images: readonly Float32Array[],
  seeded: Seeded,
): Promise<number> {
  let best = -Infinity
  for (let label = 0; label < 4; label++) {
    const found = await network.invert(wanted, label, start(seeded), STEPS)
    for (const image of images) best = Math.max(best, psnr(found, image))
  }
  return best
}

/** What comes of the sum that leaves, and of one that has nothing of the images in it: by chance. */
async function together(seed: number): Promise<{ readonly found: number; readonly chance: number }> {
  const seeded = createSeeded(seed, 'deep-together')
  const network = await deepNetwork(seeded)
  const images = Array.from({ length: RECORDS }, () => picture(seeded))
  const gradients: Float64Array[] = []
  for (const [index, image] of images.entries())
    gradients.push(Float64Array.from(await network.gradient(image, index % 4)))
  const sum = Float32Array.from(protectedSum(gradients))
  const nothing = Float32Array.from(sum, () => seeded.normal())
  const found = await likest(network, sum, images, seeded)
  const chance = await likest(network, nothing, images, seeded)
  await network.close()
  return { found, chance }
}

export const deepInversion: Attack = {
  id: 'E1d',
  name: 'images out of the gradient of a convolutional net',
  async control(size: Size) {
    const seeds = size === 'all' ? [1, 2, 3, 4, 5] : [1]
    return [least('likeness of what is found behind one gradient, dB', await alone(seeds), 25)]
  },
  async defended(size: Size) {
    const outcomes = []
    for (const seed of size === 'all' ? [1, 2, 3] : [1]) {
      const { found, chance } = await together(seed)
      outcomes.push(most(`likest of ${RECORDS} with clip and noise, dB (chance + 2)`, found, chance + 2))
    }
    return outcomes
  },
}
