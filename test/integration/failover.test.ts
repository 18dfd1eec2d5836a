import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isWhole } from '../whole.ts'
import {
  alive,
  answer,
  codeOf,
  counter,
  createLab,
  greedy,
  hostOf,
  joined,
  placement,
  THE_WHALE,
  TINY,
  until,
} from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const LONG = 160
const SAMPLED = {
  temperature: 0.9,
  topK: 40,
  topP: 0.95,
  minP: 0,
  repetitionPenalty: 1.15,
  presencePenalty: 0.2,
  frequencyPenalty: 0.1,
  seed: 11,
}
/** Long enough to be on its way through the stages for a while. */
const PROMPT = Array.from({ length: 700 }, (_, index) => THE_WHALE[index % 2]! + (index % 97))

describe('nothing is lost when peers are', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer
  let d: RealPeer

  const deploy = (): Promise<unknown> =>
    a.access.deploy(
      'tiny',
      placement('tiny', [
        [a, 0, 1],
        [b, 1, 4],
        [c, 4, 7],
        [a, 7, 8],
      ]),
      () => undefined,
    )
  const alone = (request: Parameters<typeof answer>[1]): Promise<Answer> =>
    answer(a, { ...request, placement: 'local' })

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b, c, d] = await Promise.all([lab.start('a'), lab.start('b'), lab.start('c'), lab.start('d')])
    await joined([a, b, c, d])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await deploy()
  }, 120_000)

  afterAll(() => lab.stop())

  it('the same stage twice in one answer, sampled with penalties and reported with likelihoods', async () => {
    const request = greedy('tiny', LONG, { sampling: SAMPLED, logprobs: 2 })
    const expected = await alone(request)
    let host = await hostOf(a, b)
    const kill = (count: number): void => {
      if (count === 20 || count === 110) process.kill(host, 'SIGKILL')
      if (count === 45) void hostOf(a, b).then((pid) => (host = pid))
    }
    const whole = await answer(a, request, kill)
    expect(whole.error).toBeUndefined()
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.logprobs).toEqual(expected.logprobs)
    expect(whole.end!.stats.counters['failovers']).toBeGreaterThanOrEqual(1)
  })

  it.runIf(isWhole)(
    'a stage host that is wedged: found by its own work, replaced, ended, and started again',
    async () => {
      const host = await hostOf(a, b)
      const restarts = await counter(b, 'stage_restarts')
      const expected = await alone(greedy('tiny', LONG))
      const whole = await answer(a, greedy('tiny', LONG), (count) => count === 20 && process.kill(host, 'SIGSTOP'))
      expect(whole.ids).toEqual(expected.ids)
      expect(whole.reroutes).toMatchObject([{ attempt: 1, lost: [b.id], exact: true }])
      expect(whole.end!.stats.counters['replayed_rows']).toBeGreaterThanOrEqual(20)
      await until('the wedged process is gone', () => !alive(host))
      expect(await hostOf(a, b)).not.toBe(host)
      expect(await counter(b, 'stage_restarts')).toBe(restarts + 1)
    },
  )

  it('a peer that freezes, and what it held is freed when it wakes', async () => {
    await deploy()
    const expected = await alone(greedy('tiny', LONG))
    const whole = await answer(a, greedy('tiny', LONG), (count) => count === 20 && b.child.kill('SIGSTOP'))
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes).toMatchObject([{ lost: [b.id] }])
    b.child.kill('SIGCONT')
    await joined([a, b, c, d])
    await until(
      'what the frozen peer held is freed',
      async () => (await counter(b, 'sessions_opened')) === (await counter(b, 'sessions_freed')),
    )
  })

  it('in the middle of a prompt', async () => {
    await deploy()
    const request = greedy('tiny', 8, { input: { kind: 'ids', ids: PROMPT } })
    const expected = await alone(request)
    const host = await hostOf(a, c)
    let seen = 0
    const whole = await answer(
      a,
      request,
      () => undefined,
      undefined,
      (event) => event.type === 'prefill' && seen++ === 1 && process.kill(host, 'SIGKILL'),
    )
    expect(whole.error).toBeUndefined()
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes.length).toBe(1)
  })

  it.runIf(isWhole)('several answers at once, each of them whole and exact', async () => {
    await deploy()
    const requests = [1, 2, 3, 4].map((seed) => greedy('tiny', 120, { sampling: { ...SAMPLED, seed } }))
    const expected = await Promise.all(requests.map(alone))
    const host = await hostOf(a, b)
    let killed = false
    const all = await Promise.all(
      requests.map((request) =>
        answer(a, request, (count) => {
          if (count < 40 || killed) return
          killed = true
          process.kill(host, 'SIGKILL')
        }),
      ),
    )
    expect(all.map(({ ids }) => ids)).toEqual(expected.map(({ ids }) => ids))
    expect(all.map(({ reroutes }) => reroutes.length)).toEqual([1, 1, 1, 1])
  })

  it('a peer that leaves hands its sessions over before it goes', async () => {
    await deploy()
    // A token a step, so that it lasts.
    const request = greedy('tiny', LONG, { speculate: 'off' })
    const expected = await alone(request)
    const failovers = await counter(a, 'failovers')
    const whole = await answer(a, request, (count) => count === 30 && c.child.kill('SIGTERM'))
    expect(whole.ids).toEqual(expected.ids)
    // Its successor was fed beforehand: nothing is replayed while the reader waits.
    expect(whole.reroutes).toMatchObject([{ lost: [c.id], replayed_rows: 0 }])
    expect(await counter(a, 'hand_overs')).toBe(1)
    expect(await counter(a, 'failovers')).toBe(failovers + 1)
    await until('it has left', () => !alive(c.pid))
    expect(c.child.exitCode).toBe(0)
    c = await lab.start('c')
    await joined([a, b, c, d])
  })

  it('two peers at once, to those that hold their blocks ready', async () => {
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 4],
      [c, 4, 7],
      [a, 7, 8],
    ])
    const replicas = [
      { peer: d.id, from: 1, to: 4 },
      { peer: d.id, from: 4, to: 7 },
    ]
    await a.access.deploy('tiny', { ...stages, replicas }, () => undefined)
    const loaded = await counter(d, 'stages_loaded')
    const host = await hostOf(a, b)
    const expected = await alone(greedy('tiny', LONG))
    const whole = await answer(a, greedy('tiny', LONG), (count) => {
      if (count !== 30) return
      b.child.kill('SIGKILL')
      c.child.kill('SIGKILL')
    })
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes.flatMap(({ lost }) => lost).toSorted()).toEqual([b.id, c.id].toSorted())
    expect(whole.reroutes.at(-1)!.route.map(({ peer }) => peer)).toEqual([a.id, d.id, d.id, a.id])
    expect(await counter(d, 'stages_loaded')).toBe(loaded)
    // The next request finds the placement repaired, with what the others held where it was.
    expect((await answer(a, greedy('tiny', 20))).ids).toEqual(expected.ids.slice(0, 20))
    const placed = (await a.access.status()).stages.filter(({ state }) => state === 'ready').map(({ peer }) => peer)
    expect(placed).not.toContain(b.id)
    await until('the host of the dead peer has ended by itself', () => !alive(host))
    const again = await lab.start('b')
    expect(again.id).toBe(b.id)
    await joined([a, again, d])
    expect((await answer(again, greedy('tiny', 20))).ids).toEqual(expected.ids.slice(0, 20))
  })
})

describe.runIf(isWhole)('when nobody else has the blocks', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    // Too little memory for more than embedding and head: nobody but b can hold the layers.
    ;[a, b] = await Promise.all([lab.start('a', ['--memory', '8MB']), lab.start('b')])
    await joined([a, b])
    await b.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await until('a knows the model', async () =>
      (await a.access.status()).peers.some((peer) => peer.models.includes('tiny')),
    )
    await a.access.deploy(
      'tiny',
      placement('tiny', [
        [a, 0, 1],
        [b, 1, 7],
        [a, 7, 8],
      ]),
      () => undefined,
    )
  }, 120_000)

  afterAll(() => lab.stop())

  it('until the deadline, a request ends with a code and the tokens so far, the mesh stays usable', async () => {
    const expected = await answer(b, greedy('tiny', 60, { placement: 'local' }))
    const request = greedy('tiny', LONG, { deadline: 15_000 })
    const lost = await answer(a, request, (count) => count === 20 && b.child.kill('SIGKILL'))
    expect(codeOf(lost.error)).toBe('WEFT-INF-033')
    expect(lost.waited).toBe(true)
    expect(lost.ids.slice(0, 20)).toEqual(expected.ids.slice(0, 20))
    expect((await a.access.status()).peer.state).toBe('running')
    b = await lab.start('b')
    await joined([a, b])
  })

  it('a request without a deadline waits, and goes on by itself when a holder is back', async () => {
    const expected = await answer(b, greedy('tiny', LONG, { placement: 'local' }))
    expect(expected.error).toBeUndefined()
    let back: Promise<RealPeer> | undefined
    const { deadline: _, ...request } = greedy('tiny', LONG)
    const whole = await answer(a, request, (count) => {
      if (count !== 20) return
      b.child.kill('SIGKILL')
      // Longer than a request waits that has not begun.
      back = sleep(4_000).then(() => lab.start('b'))
    })
    b = await back!
    expect(whole.waited).toBe(true)
    expect(whole.error).toBeUndefined()
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes.length).toBe(1)
  })
})
