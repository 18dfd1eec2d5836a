import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  checkFedPlan,
  FIRST_STATE,
  l2Norm,
  readFedData,
  RoundMath,
  Site,
  SiteTrainer,
  wordsFrom,
} from '../../src/federated/index.ts'
import type { FedState } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const REPEATS = 60
const F = 16

/** What a site under this privacy puts into a sum, again and again from one state. In units of 2^-f. */
async function emitted(
  privacy: object,
): Promise<{ all: Float64Array[]; sigma: number; scale: number; records: number }> {
  const name = (privacy as { unit: string }).unit
  const checked = checkFedPlan(plan({ privacy, local: { steps: 3, batch: 'full', lr: 2 } }), 'plan')
  const work = join(folder, name)
  mkdirSync(work)
  const data = await readFedData(writeSite(folder, name, hospitalRows(1, 60)))
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder: work, threads: 1 }
  const trainer = await SiteTrainer.open(needs, checked, data)
  const math = new RoundMath(checked, 3)
  const site = new Site(
    trainer,
    math,
    wordsFrom((length) => systemRandom().bytes(length)),
  )
  const columns = trainer.moments().map(({ column, count, mean }) => ({ column, count, mean, sd: 10 }))
  const first: FedState = { ...FIRST_STATE, pooled: { records: trainer.records * 3, columns } }
  const state = { ...first, ...(await site.begin(first)) }
  const all: Float64Array[] = []
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const { contribution } = await site.prepare(state, {}, 0)
    // What leaves is made of the integers alone: coordinates before the noise never do.
    all.push(contribution.integers!)
    expect(contribution.wide).toEqual([])
  }
  const { shareSigma, scale } = math.noise(state)!
  const { records } = trainer
  await trainer.close()
  return { all, sigma: shareSigma, scale, records }
}

function meanOf(all: readonly Float64Array[]): Float64Array {
  return all[0]!.map((_, at) => all.reduce((sum, one) => sum + one[at]!, 0) / all.length)
}

/** Of a coordinate over the repeats, on average over all. */
function varianceOf(all: readonly Float64Array[]): number {
  const mean = meanOf(all)
  const squares = all.map((one) => one.reduce((sum, value, at) => sum + (value - mean[at]!) ** 2, 0))
  return squares.reduce((sum, value) => sum + value, 0) / ((all.length - 1) * mean.length)
}

const CLIP = 0.02
const PRIVACY = { epsilon: 8, delta: 1e-5, clip: CLIP, noise_multiplier: 0.1 }

describe('what leaves a site under privacy', () => {
  test('of sites is an update of the norm of the clip, with the noise of its share', async () => {
    const { all, sigma } = await emitted({ ...PRIVACY, unit: 'site' })
    // 60 repeats of 33 coordinates: the estimate is within 15 % but for one run in millions.
    expect(varianceOf(all) / sigma ** 2).toBeGreaterThan(0.85)
    expect(varianceOf(all) / sigma ** 2).toBeLessThan(1.15)
    const norm = l2Norm(meanOf(all)) / 2 ** F
    expect(norm).toBeGreaterThan(0.9 * CLIP)
    expect(norm).toBeLessThan(1.1 * CLIP)
  })

  test('of records is a sum of gradients, each within the clip, with the noise of its share', async () => {
    const { all, sigma, scale, records } = await emitted({ ...PRIVACY, unit: 'record', sample_rate: 1 })
    expect(varianceOf(all) / sigma ** 2).toBeGreaterThan(0.85)
    expect(varianceOf(all) / sigma ** 2).toBeLessThan(1.15)
    const norm = l2Norm(meanOf(all)) / (2 ** F * scale)
    expect(norm).toBeLessThanOrEqual(records * CLIP * 1.1)
    expect(norm).toBeGreaterThan(CLIP)
  })
})
