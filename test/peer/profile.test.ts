/** What a device measures of itself: once, again when something has changed, and not from files that lie. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeBlock } from '../../src/models/blocks.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import type { KernelTrial } from '../../src/pipeline/index.ts'
import { DeviceMeasures } from '../../src/peer/profile-measures.ts'
import type { MeasuresNeeds } from '../../src/peer/profile-measures.ts'
import { newsOf } from '../../src/peer/profile-news.ts'
import { readPower } from '../../src/peer/profile-power.ts'
import { blockSize, predictBlock, USUAL_ERROR } from '../../src/peer/profile-predict.ts'
import { fakeManifest } from '../api/fake-peer.ts'
import { profile } from '../mesh/support/make-mesh.ts'
import { settle, virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const TRIAL: KernelTrial = { speed: 2e10, kernel: 'ort-1-x64', bandwidth: 1e10 }

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-profile-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** A model of two equal decoder blocks. */
function model(): ModelManifest {
  const base = fakeManifest()
  const decoder = makeBlock('decoder', [], 'q4', { ...base.shape, width: 576, hidden: 1536 })
  return { ...base, blocks: [decoder, { ...decoder, memory: decoder.memory + 2 }] }
}

describe('heat and battery', () => {
  const tell = async (folder: string, files: Readonly<Record<string, string>>): Promise<void> => {
    await mkdir(join(root, folder), { recursive: true })
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, folder, name), `${text}\n`)
  }

  it('are null where the system does not tell', async () => {
    expect(await readPower(join(root, 'nothing'))).toEqual({ thermal: null, battery: null })
  })

  it('are those of the zone that is nearest to its limit, and of the emptiest battery of the device', async () => {
    await tell('sys/thermal/thermal_zone0', { temp: '81000' })
    await tell('sys/thermal/thermal_zone1', {
      temp: '79500',
      trip_point_0_type: 'active',
      trip_point_0_temp: '40000',
      trip_point_1_type: 'passive',
      trip_point_1_temp: '80000',
      trip_point_2_type: 'critical',
      trip_point_2_temp: '95000',
    })
    await tell('sys/power_supply/AC', { type: 'Mains', online: '0' })
    await tell('sys/power_supply/BAT0', { type: 'Battery', capacity: '61', status: 'Discharging' })
    await tell('sys/power_supply/hid-mouse', { type: 'Battery', scope: 'Device', capacity: '3', status: 'Discharging' })
    expect(await readPower(join(root, 'sys'))).toEqual({
      thermal: { celsius: 79.5, limit_celsius: 80, limited: false },
      battery: { percent: 61, discharging: true },
    })
    await tell('sys/thermal/thermal_zone1', { temp: '80000' })
    expect((await readPower(join(root, 'sys'))).thermal?.limited).toBe(true)
  })

  it('are not believed where they cannot be', async () => {
    await tell('odd/thermal/thermal_zone0', { temp: '-273000' })
    await tell('odd/thermal/thermal_zone1', { temp: 'hot' })
    await tell('odd/power_supply/BAT0', { type: 'Battery', capacity: '1e300', status: 'x'.repeat(10_000) })
    expect(await readPower(join(root, 'odd'))).toEqual({
      thermal: null,
      battery: { percent: null, discharging: false },
    })
  })
})

describe('the measures of a device', () => {
  let clock: VirtualClock
  let directory: string
  let trials: number
  let trial: KernelTrial
  let load: number
  let idle: boolean
  let counts: string[]

  beforeEach(async () => {
    clock = virtualClock()
    directory = await mkdtemp(join(root, 'home-'))
    ;[trials, trial, load, idle, counts] = [0, TRIAL, 0.1, true, []]
  })

  const start = async (changes: Partial<MeasuresNeeds> = {}): Promise<DeviceMeasures> => {
    const measures = new DeviceMeasures({
      clock,
      directory,
      threads: 2,
      telemetry: { count: (name, _by, labels) => void counts.push(`${name} ${labels?.['what']}`) },
      trial: () => {
        trials++
        return Promise.resolve(trial)
      },
      idle: () => idle,
      load: () => load,
      log: (_fields, message) => void counts.push(message),
      system: join(root, 'nothing'),
      ...changes,
    })
    await measures.start()
    return measures
  }

  /** A look reads real files: the next one is due only once it is over. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let left = milliseconds; left > 0; left -= 10_000) {
      await clock.advance(Math.min(left, 10_000))
      while (clock.waiting() === 0) await settle(1)
    }
  }

  it('are made once, and kept for the next start', async () => {
    const first = await start()
    first.seen(model().digest, { one: 0.6, prefill: 0.1, head: 2, batch: [], runs: 9 })
    await first.stop()
    const second = await start()
    expect(second.trial).toMatchObject(TRIAL)
    expect(second.speeds([model()])).toMatchObject([{ block_ms: 0.6, prefill_ms: 0.1 }])
    expect([trials, counts]).toEqual([1, ['measurements kernel', 'measurements blocks']])
    // The head is not kept: until it was seen in this run, nobody is judged by it.
    expect([first.own(model().digest), second.own(model().digest)]).toEqual([
      { block: 0.6, head: 2 },
      { block: 0.6, head: null },
    ])
    await second.stop()
    expect(clock.waiting()).toBe(0)
  })

  it.each([
    ['of another device', (text: string) => text.replace(/"device": "/, '"device": "other ')],
    ['cut off', (text: string) => text.slice(0, -20)],
    ['with a speed that no device has', (text: string) => text.replace('20000000000', '1e300')],
    ['with a negative time', (text: string) => text.replace('0.6', '-0.6')],
  ])('are made again where the file is %s', async (_what, change) => {
    const first = await start()
    first.seen(model().digest, { one: 0.6, prefill: null, head: null, batch: [], runs: 9 })
    await first.stop()
    const path = join(directory, 'measures.json')
    await writeFile(path, change(await readFile(path, 'utf8')))
    const second = await start()
    expect(trials).toBe(2)
    expect(second.speeds([model()])).toMatchObject([{ block_ms: null }])
    await second.stop()
  })

  it('are made again when the load has shifted: seldom, and only while nothing is computed', async () => {
    const measures = await start()
    await pass(700_000)
    expect(trials).toBe(1)
    load = 2
    idle = false
    await pass(60_000)
    expect(trials).toBe(1)
    idle = true
    await pass(20_000)
    expect(trials).toBe(2)
    // Measured while the machine was busy: made again a minute after that has changed, not ten.
    load = 0.1
    await pass(40_000)
    expect(trials).toBe(2)
    await pass(20_000)
    expect(trials).toBe(3)
    load = 2
    await pass(580_000)
    expect(trials).toBe(3)
    await pass(20_000)
    expect(trials).toBe(4)
    await measures.stop()
  })

  it('are made again when a stage has other kernels, and a trial that fails is told and leaves what was', async () => {
    await (await start()).stop()
    const measures = await start()
    measures.loaded(TRIAL.kernel)
    await settle()
    expect(trials).toBe(1)
    trial = { ...TRIAL, kernel: 'ort-2-x64', speed: 3e10 }
    measures.loaded('ort-2-x64')
    await settle(100)
    expect(measures.trial).toMatchObject(trial)
    // One whose trial does not agree with its stages is not tried again and again.
    for (let time = 0; time < 3; time++) measures.loaded('ort-3-x64')
    await settle(100)
    expect(trials).toBe(2)
    await measures.stop()
    const failing = await start({
      directory: await mkdtemp(join(root, 'home-')),
      trial: () => Promise.reject(new Error('no engine')),
    })
    expect([failing.trial, failing.speeds([model()])]).toEqual([null, []])
    expect(counts.at(-1)).toContain('could not be made')
    await failing.stop()
  })

  it('tell of other kernels while a stage computes with weights as they are: its bits are not those of pre-packed ones', async () => {
    const measures = await start()
    expect(measures.kernel).toBe(TRIAL.kernel)
    measures.plain(true)
    expect(measures.kernel).toBe(`${TRIAL.kernel}+plain`)
    measures.plain(false)
    expect(measures.kernel).toBe(TRIAL.kernel)
    await measures.stop()
  })

  it('have how much longer several rows take, kept for the next start; sizes that are not seen again stay', async () => {
    const first = await start()
    const times = { one: 0.6, prefill: 0.1, head: null, runs: 9 }
    first.seen(model().digest, {
      ...times,
      batch: [
        { rows: 2, factor: 1.1 },
        { rows: 8, factor: 1.92345 },
      ],
    })
    first.seen(model().digest, {
      ...times,
      batch: [
        { rows: 2, factor: 1.4 },
        { rows: 4, factor: 1.5 },
      ],
    })
    const batch = [
      { rows: 2, factor: 1.4 },
      { rows: 4, factor: 1.5 },
      { rows: 8, factor: 1.92 },
    ]
    expect(first.speeds([model()])).toMatchObject([{ batch }])
    await first.stop()
    const second = await start()
    expect(second.speeds([model()])).toMatchObject([{ block_ms: 0.6, batch }])
    // A breath of it is nothing new.
    second.seen(model().digest, { ...times, batch: [{ rows: 2, factor: 1.45 }] })
    expect(second.speeds([model()])).toMatchObject([{ batch }])
    await second.stop()
  })

  it('of a file of the version before, without rows at once, are read', async () => {
    await (await start()).stop()
    const path = join(directory, 'measures.json')
    const models = [{ digest: model().digest, one: 0.6, prefill: null }]
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), models }))
    const measures = await start()
    expect(measures.speeds([model()])[0]).toMatchObject({ block_ms: 0.6 })
    expect(measures.speeds([model()])[0]).not.toHaveProperty('batch')
    await measures.stop()
  })

  it('show what was predicted beside what was seen, and how far off that is', async () => {
    const measures = await start()
    const predicted = predictBlock(blockSize(model())!, { ...TRIAL, threads: 2 })!
    const [before] = measures.speeds([model()])
    expect(before).toMatchObject({ block_ms: null, prefill_ms: null, error: USUAL_ERROR })
    expect(before!.predicted_block_ms).toBeCloseTo(predicted.one, 2)
    measures.seen(model().digest, {
      one: 2 * predicted.one,
      prefill: predicted.prefill,
      head: null,
      batch: [],
      runs: 2,
    })
    expect(measures.speeds([model()])[0]!.block_ms).toBeNull()
    measures.seen(model().digest, {
      one: 2 * predicted.one,
      prefill: predicted.prefill,
      head: null,
      batch: [],
      runs: 3,
    })
    const [after] = measures.speeds([model()])
    expect(after!.block_ms).toBeCloseTo(2 * predicted.one, 2)
    expect(after!.error).toBeCloseTo(0.75, 2)
    await measures.stop()
  })
})

describe('a prediction', () => {
  it('is nothing without a trial, grows with the block, and falls with threads and memory', () => {
    const block = { memory: 2.65e6, work: 3.54e6 }
    const device = { speed: 2.7e10, bandwidth: 1.5e10, threads: 1 }
    expect(predictBlock(block, { ...device, speed: 0 })).toBeNull()
    // Seen on this device: 0.66 ms and 0.095 ms (docs/profiles.md).
    const one = predictBlock(block, device)!
    expect(one.one).toBeCloseTo(0.57, 1)
    expect(one.prefill).toBeCloseTo(0.084, 2)
    const more = predictBlock({ memory: 2 * block.memory, work: block.work }, device)!
    expect(more.one).toBeGreaterThan(one.one)
    expect(more.prefill).toBe(one.prefill)
    expect(predictBlock(block, { ...device, threads: 4 })!.prefill).toBeLessThan(one.prefill)
    expect(predictBlock(block, { ...device, bandwidth: 0 })!.one).toBeLessThan(one.one)
  })
})

describe('what is worth a new record', () => {
  const link = { peer: 'b', rtt_ms: 10, jitter_ms: 1, loss: 0, down: 1e8, up: null, relayed: false }
  const speed = {
    digest: 'ab'.repeat(32),
    block_ms: 1,
    prefill_ms: null,
    predicted_block_ms: 1,
    predicted_prefill_ms: 1,
    error: 0.5,
  }
  const hardware = {
    ...profile('a').hardware,
    thermal: null,
    battery: { percent: 60, discharging: true },
    models: [speed],
  }
  const told = { hardware, links: [link] }

  it.each([
    ['the same', {}, {}, null],
    ['a little less memory', { memory_free: hardware.memory_free * 0.95 }, {}, null],
    ['much less memory', { memory_free: hardware.memory_free * 0.9 }, {}, 'now'],
    ['another breath of the network', {}, { rtt_ms: 12, jitter_ms: 9 }, null],
    ['another way', {}, { rtt_ms: 13 }, 'soon'],
    ['a relay', {}, { relayed: true }, 'soon'],
    ['a bandwidth that was not known', {}, { up: 1e7 }, 'soon'],
    ['loss', {}, { loss: 0.06 }, 'soon'],
    ['a battery that runs down', { battery: { percent: 55, discharging: true } }, {}, 'now'],
    ['a limit', { thermal: { celsius: 80, limit_celsius: 80, limited: true } }, {}, 'now'],
    ['slower blocks', { models: [{ ...speed, block_ms: 1.3 }] }, {}, 'now'],
    [
      'rows at once of a number that was not seen before',
      { models: [{ ...speed, batch: [{ rows: 8, factor: 2 }] }] },
      {},
      'now',
    ],
    ['another model', { models: [{ ...speed, digest: 'cd'.repeat(32) }] }, {}, 'now'],
  ])('%s', (_what, device, way, news) => {
    expect(newsOf(told, { hardware: { ...hardware, ...device }, links: [{ ...link, ...way }] })).toBe(news)
  })

  it('a pair that is there or gone', () => {
    expect(newsOf(told, { ...told, links: [] })).toBe('soon')
    expect(newsOf(told, { ...told, links: [{ ...link, peer: 'c' }] })).toBe('soon')
    expect(newsOf(told, { ...told, links: [link, { ...link, peer: 'c' }] })).toBe('links')
  })
})
