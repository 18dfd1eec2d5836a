/** What makes serving fast, over real peers: prefixes that stages have already, and never another text for it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RequestTrace } from '../../src/peer/index.ts'
import { checkedSchema } from '../../src/pipeline/index.ts'
import { alive, answer, counter, createLab, greedy, placement, ringOfTiny, THE_WHALE, until } from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const SYSTEM = Array.from({ length: 300 }, (_, index) => THE_WHALE[index % 2]! + (index % 89))
const ask = (...ids: number[]) => greedy('tiny', 24, { input: { kind: 'ids', ids: [...SYSTEM, ...ids] } })

describe('prefixes that were here before', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  const alone = (request: Parameters<typeof answer>[1]): Promise<Answer> =>
    answer(a, { ...request, placement: 'local', audit: 'off' })
  const hits = ({ end }: Answer): number => end?.stats.counters['prefix_hits'] ?? 0

  beforeAll(async () => {
    lab = await createLab()
    ;({ a, b, c } = await ringOfTiny(lab))
  }, 120_000)

  afterAll(() => lab.stop())

  it('are found in every stage, by another prompt that begins alike, and change no token', async () => {
    const [first, second] = [await answer(a, ask(5, 6, 7)), await answer(a, ask(8, 9))]
    expect(hits(first)).toBe(0)
    // Whole runs of 16 rows.
    expect(hits(second)).toBe(288)
    expect([first, second].map(({ end }) => end?.stats.cached_tokens)).toEqual([0, 288])
    expect(first.ids).toEqual((await alone(ask(5, 6, 7))).ids)
    expect(second.ids).toEqual((await alone(ask(8, 9))).ids)
    const before = await counter(b, 'rows')
    await answer(a, ask(8, 9))
    expect((await counter(b, 'rows')) - before).toBeLessThan(60)
  })

  it('hold what was answered too, for the chat that goes on', async () => {
    const first = await answer(a, ask(40, 41))
    const next = ask(40, 41, ...first.ids, 50)
    const second = await answer(a, next)
    expect(hits(second)).toBe(320)
    expect(second.ids).toEqual((await alone(next)).ids)
  })

  it('are of one origin alone', async () => {
    await answer(a, ask(60, 61))
    const stages = placement('tiny', [
      [b, 0, 1],
      [b, 1, 4],
      [c, 4, 7],
      [b, 7, 8],
    ])
    const other = await answer(b, { ...ask(60, 61), placement: stages })
    expect(other.error).toBeUndefined()
    expect(hits(other)).toBe(0)
  })

  it('are left out where every row is to be shown to an auditor', async () => {
    const audited = await answer(a, { ...ask(8, 9), audit: 'sample' })
    expect(audited.error).toBeUndefined()
    expect(hits(audited)).toBe(0)
    expect(audited.ids).toEqual((await alone(ask(8, 9))).ids)
  })

  it('a stage that is lost is fed the rows that were never sent in this answer', async () => {
    // With guesses all of so short an answer may be under way before the stage is lost.
    const request = { ...ask(8, 9), speculate: 'off' } as const
    const expected = await alone(request)
    let host = 0
    await until('there is a host', async () => {
      const { stages } = await a.access.status()
      host = stages.find((stage) => stage.peer === c.id && stage.state === 'ready')?.pid ?? 0
      return host > 0 && alive(host)
    })
    const whole = await answer(a, request, (count) => count === 5 && process.kill(host, 'SIGKILL'))
    expect(hits(whole)).toBe(288)
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes).toMatchObject([{ lost: [c.id], exact: true }])
  })

  it('guesses are held to the form of an answer too, and a token is chosen by it alone', async () => {
    const names = ['one', 'two', 'three', 'four', 'five', 'six']
    const properties = Object.fromEntries(names.map((name) => [name, { enum: ['yes, always', 'no, never'] }]))
    const schema = checkedSchema({ type: 'object', properties, required: names, additionalProperties: false })
    const format = { kind: 'schema', text: schema } as const
    const request = greedy('tiny', 120, { ignoreEnd: false, format, speculate: 'lookup' })
    const plain = await answer(a, { ...request, speculate: 'off' })
    const guessed = await answer(a, request)
    expect(Object.keys(JSON.parse(plain.end!.text) as object)).toEqual(names)
    expect(guessed.ids).toEqual(plain.ids)
    expect(guessed.end!.stats.counters['draft_accepted']).toBeGreaterThan(0)
  })

  const hosted = async (peer: RealPeer): Promise<number> => {
    let host = 0
    await until('there is a host', async () => {
      const { stages } = await a.access.status()
      host = stages.find((stage) => stage.peer === peer.id && stage.state === 'ready')?.pid ?? 0
      return host > 0 && alive(host)
    })
    return host
  }
  /** That of an answer: the hops tell of theirs a moment after its end. */
  const traceOf = async ({ start }: Answer): Promise<RequestTrace> => {
    const request = start?.request
    expect(request).toMatch(/^r\d+$/)
    await until('it is traced', async () => (await a.access.traces()).some((entry) => entry.request === request))
    return a.access.trace(request)
  }

  it('a trace tells where the time of each step went, the same peer at two places included', async () => {
    const before = await counter(a, 'step_time')
    const answers = [await answer(a, ask(70, 71)), await answer(a, ask(72))]
    for (const each of answers) {
      const trace = await traceOf(each)
      expect(trace.tokens).toBe(24)
      expect(trace.attempts).toBe(1)
      expect(trace.hops.map(({ peer }) => peer)).toEqual([a.id, b.id, c.id, a.id])
      expect(trace.hops.every(({ clock_ms: clock }) => clock !== null)).toBe(true)
      expect(trace.decode!.explained).toBeGreaterThan(0.95)
      expect(trace.decode!.explained).toBeLessThan(1.05)
      // The embedding alone computes nothing that is timed.
      for (const { compute_ms: compute } of trace.decode!.hops.slice(1)) expect(compute).toBeGreaterThan(0)
      const decoded = trace.steps.filter(({ phase }) => phase === 'decode')
      expect(decoded.length).toBe(trace.decode!.steps)
      expect(decoded.every(({ hops }) => hops.every((hop) => hop !== null))).toBe(true)
    }
    const [last] = await a.access.traces()
    expect(last?.request).toBe(answers[1]!.start?.request)
    expect((await a.access.trace(undefined)).request).toBe(last?.request)
    expect(await counter(a, 'step_time')).toBeGreaterThan(before)
  })

  it('a trace goes on over a stage that was replaced, whose steps nobody can tell', async () => {
    const host = await hosted(c)
    const cut = await answer(a, ask(74), (count) => count === 8 && process.kill(host, 'SIGKILL'))
    expect(cut.reroutes).toHaveLength(1)
    const trace = await traceOf(cut)
    expect(trace.attempts).toBe(2)
    const [first, second] = [0, 1].map((attempt) => trace.steps.filter((step) => step.attempt === attempt))
    expect(first!.some(({ hops }) => hops[2] === null)).toBe(true)
    expect(second!.every(({ hops }) => hops.every((hop) => hop !== null))).toBe(true)
  })

  it('the batch lane yields to people in every stage, and gives the same text', async () => {
    const long = (id: number): Parameters<typeof answer>[1] => ({ ...ask(200 + id), maxTokens: 60, speculate: 'off' })
    const expected = [await alone(long(1)), await alone(long(2)), await alone(long(3))]
    const before = [await counter(a, 'yielded_rows'), await counter(b, 'yielded_rows')]
    const lines = [answer(a, { ...long(1), lane: 'batch' }), answer(a, { ...long(2), lane: 'batch' })]
    const person = await answer(a, long(3))
    const all = [...(await Promise.all(lines)), person]
    expect(all.map(({ ids, error }) => error ?? ids)).toEqual(expected.map(({ ids }) => ids))
    const after = [await counter(a, 'yielded_rows'), await counter(b, 'yielded_rows')]
    expect(after[0]! + after[1]!).toBeGreaterThan(before[0]! + before[1]!)
  })

  it('an answer that was never here has no trace', async () => {
    const error = await a.access.trace('r9999').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'WEFT-INF-150' })
  })
})
