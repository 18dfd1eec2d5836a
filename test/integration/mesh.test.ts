import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isWhole, sampled } from '../whole.ts'
import { metricsOf, valueOf } from './scraped.ts'
import { answer, counter, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

describe('three real peers and one model', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b, c] = await Promise.all([lab.start('a'), lab.start('b'), lab.start('c')])
    await joined([a, b, c])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
  }, 120_000)

  afterAll(() => lab.stop())

  it('answer with the tokens of one process, however the model lies on them', async () => {
    const alone = await answer(a, greedy('tiny', 24, { placement: 'local' }))
    expect(alone.error).toBeUndefined()
    expect(alone.route).toHaveLength(1)
    const cuts = [
      placement('tiny', [
        [a, 0, 3],
        [b, 3, 6],
        [c, 6, 8],
      ]),
      placement('tiny', [
        [c, 0, 1],
        [b, 1, 7],
        [a, 7, 8],
      ]),
      placement('tiny', [
        [b, 0, 2],
        [c, 2, 4],
        [b, 4, 6],
        [a, 6, 8],
      ]),
    ]
    for (const cut of sampled(cuts.toReversed(), 2)) {
      await a.access.deploy('tiny', cut, () => undefined)
      for (const origin of [a, b]) {
        const split = await answer(origin, greedy('tiny', 24))
        expect(split.error).toBeUndefined()
        expect(split.ids).toEqual(alone.ids)
        expect(split.route.map(({ peer, from, to }) => ({ peer, from, to }))).toEqual(cut.stages)
      }
    }
  })

  it('say in their metrics what they are busy with, where the time of steps goes, and how late their loops are', async () => {
    const cut = placement('tiny', [
      [b, 0, 4],
      [c, 4, 8],
    ])
    await a.access.deploy('tiny', cut, () => undefined)
    expect((await answer(a, greedy('tiny', 24))).error).toBeUndefined()
    await until('its memory is known', async () => valueOf(await metricsOf(b), 'weft_stage_memory_bytes') > 0)
    const [origin, stage] = [await metricsOf(a), await metricsOf(b)]
    expect(valueOf(origin, 'weft_peers{state="connected"}')).toBe(2)
    expect(valueOf(stage, 'weft_stages')).toBe(1)
    expect(valueOf(origin, 'weft_model_blocks_covered{model="tiny"}')).toBe(8)
    expect(valueOf(origin, 'weft_requests_running')).toBe(0)
    // Two stages, of which one waits while the other computes.
    const spent = (part: string): number => valueOf(origin, `weft_stage_time_seconds_total{part="${part}"}`)
    expect(spent('busy')).toBeGreaterThan(0)
    expect(spent('bubble')).toBeGreaterThan(0)
    const steps = 'weft_pipeline_stage_duration_seconds_count{model="tiny",phase="decode",step="compute"}'
    expect(valueOf(origin, steps)).toBeGreaterThan(20)
    expect(valueOf(stage, 'weft_stage_load_seconds_count{model="tiny"}')).toBeGreaterThan(0)
    const late = ['0.5', '0.99', '1'].map((at) => valueOf(origin, `weft_event_loop_delay_seconds{quantile="${at}"}`))
    expect(late.every((value) => value >= 0 && value < 60)).toBe(true)
    expect(late.toSorted((left, right) => left - right)).toEqual(late)
  })

  it('fetch only the tensors of their own blocks, verified, and say which stages they hold', async () => {
    await a.access.deploy(
      'tiny',
      placement('tiny', [
        [a, 0, 3],
        [b, 3, 6],
        [c, 6, 8],
      ]),
      () => undefined,
    )
    // Who deployed knows at once; the third peer is told.
    await until('the third peer knows all stages', async () => {
      const { stages } = await c.access.status()
      const found = stages
        .filter((stage) => stage.model === 'tiny')
        .map(({ peer, from, to }) => `${peer} ${from} ${to}`)
      return [`${a.id} 0 3`, `${b.id} 3 6`, `${c.id} 6 8`].every((stage) => found.includes(stage)) && found.length === 3
    })
    expect(await counter(b, 'blobs_received')).toBeGreaterThan(0)
    expect(await counter(a, 'blobs_served')).toBeGreaterThan(0)
  })

  it('count the rows and bytes that went round, also for the second request', async () => {
    await a.access.deploy(
      'tiny',
      placement('tiny', [
        [a, 0, 3],
        [b, 3, 6],
        [c, 6, 8],
      ]),
      () => undefined,
    )
    for (let time = 0; time < 2; time++) {
      const before = { rows: await counter(b, 'rows'), opened: await counter(b, 'sessions_opened') }
      const { end } = await answer(a, greedy('tiny', 10))
      expect(end?.stats.counters['bytes_sent']).toBeGreaterThan(0)
      // The prompt's two rows and nine of the ten tokens: the last one is not fed again.
      expect((await counter(b, 'rows')) - before.rows).toBe(11)
      expect((await counter(b, 'sessions_opened')) - before.opened).toBe(1)
    }
    for (const peer of [a, b, c]) {
      await until(
        'sessions are freed',
        async () => (await counter(peer, 'sessions_opened')) === (await counter(peer, 'sessions_freed')),
      )
    }
  })

  it('answer several at once with the tokens of each alone, in shared runs', async () => {
    const prompts = [[960, 1504], [300, 301, 302], [17], [640, 2, 81, 9, 700], [5, 5, 5], [99]]
    const alone = []
    for (const ids of prompts) alone.push((await answer(a, greedy('tiny', 40, { input: { kind: 'ids', ids } }))).ids)
    expect(await counter(b, 'single_rows')).toBeGreaterThan(0)
    const before = await counter(b, 'batched_rows')
    const together = await Promise.all(
      prompts.map((ids, index) => answer(index % 2 === 0 ? a : c, greedy('tiny', 40, { input: { kind: 'ids', ids } }))),
    )
    expect(together.map((one) => one.ids)).toEqual(alone)
    expect(await counter(b, 'batched_rows')).toBeGreaterThan(before)
  })

  it('send a long prompt through in chunks that overlap, with the same answer', async () => {
    const ids = Array.from({ length: 400 }, (_, index) => (index * 31 + 7) % 1000)
    const request = greedy('tiny', 8, { input: { kind: 'ids', ids } })
    const alone = await answer(a, { ...request, placement: 'local' })
    const split = await answer(a, request)
    expect(split.ids).toEqual(alone.ids)
    expect(split.ids).toHaveLength(8)
  })

  it('free every stage when the client goes away in mid-answer', async () => {
    const abort = new AbortController()
    const cancelled = await counter(a, 'cancelled_sessions')
    const gone = await answer(
      a,
      greedy('tiny', 450),
      (count) => count === 5 && abort.abort(new Error('client gone')),
      abort.signal,
    )
    expect(gone.ids.length).toBeLessThan(450)
    for (const peer of [a, b, c]) {
      await until(
        'sessions are freed',
        async () => (await counter(peer, 'sessions_opened')) === (await counter(peer, 'sessions_freed')),
      )
    }
    expect((await a.access.status()).requests).toEqual([])
    expect(await counter(a, 'cancelled_sessions')).toBe(cancelled + 1)
  })

  it('serve a placement that cuts what they have loaded in another place, beside the one that stands', async () => {
    const alone = (await answer(a, greedy('tiny', 10, { placement: 'local' }))).ids
    for (const cut of [2, 5, 2]) {
      const split = await answer(
        a,
        greedy('tiny', 10, {
          placement: placement('tiny', [
            [a, 0, cut],
            [b, cut, 8],
          ]),
        }),
      )
      expect(split.error).toBeUndefined()
      expect(split.ids).toEqual(alone)
    }
  })

  it('choose a placement by themselves that keeps embedding and head with the origin', async () => {
    const chosen = await a.access.deploy('tiny', 'spread', () => undefined)
    expect(chosen.kind).toBe('chosen')
    expect(chosen.stages[0]).toEqual({ peer: 'origin', from: 0, to: 1 })
    expect(chosen.stages.at(-1)).toEqual({ peer: 'origin', from: 7, to: 8 })
    for (const origin of [a, b, c]) {
      const { route, ids } = await answer(origin, greedy('tiny', 12))
      expect(ids).toHaveLength(12)
      expect(route[0]?.peer).toBe(origin.id)
      expect(route.at(-1)?.peer).toBe(origin.id)
    }
  })

  it('forget a placement that is withdrawn, and end its stages', async () => {
    await a.access.undeploy('tiny')
    await until('no stages are left', async () => (await b.access.status()).stages.length === 0)
    await until('here neither', async () => (await c.access.status()).stages.length === 0)
  })

  it.runIf(isWhole)('send the rows of the ring over lanes', async () => {
    // Tensors go over lanes too: this one has them from its own file, so its lanes are those of the ring.
    const d = await lab.start('d')
    await d.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await joined([a, d])
    const split = placement('tiny', [
      [a, 0, 4],
      [d, 4, 8],
    ])
    await a.access.deploy('tiny', split, () => undefined)
    expect((await answer(a, greedy('tiny', 5))).ids).toHaveLength(5)
    expect(await counter(d, 'blobs_received')).toBe(0)
    expect(await counter(d, 'blob_bytes_served')).toBe(0)
    expect(await counter(d, 'lanes_opened')).toBeGreaterThan(0)
  })
})
