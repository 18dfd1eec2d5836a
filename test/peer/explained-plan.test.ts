/** What the last answer took, as the terms of a plan have it. */
import { describe, expect, it } from 'vitest'
import { measuredTerms } from '../../src/peer/explained-plan.ts'
import { Traces } from '../../src/peer/traces.ts'
import type { SessionTrace } from '../../src/pipeline/index.ts'

const kinds = ['embedding', 'decoder', 'decoder', 'decoder', 'decoder', 'head'] as const
const manifest = { blocks: kinds.map((kind) => ({ kind })) } as unknown as Parameters<typeof measuredTerms>[2]
const FACTS = { model: 'm', at: '2026-11-30T00:00:00.000Z', prompt_tokens: 1, tokens: 3 }

type Part = readonly [peer: string, from: number, to: number]

/** Each hop has its rows for 1 ms on the way, 2 in the queue, 3 of computing and 4 around it, times its place from 1. */
function traceOf(route: readonly Part[], tokens = 1): SessionTrace {
  const times = (place: number): NonNullable<SessionTrace['steps'][number]['hops'][number]> => {
    const [wire, queue, compute, serialize] = [1, 2, 3, 4].map((ms) => ms * (place + 1)) as [
      number,
      number,
      number,
      number,
    ]
    return { wire_ms: wire, queue_ms: queue, compute_ms: compute, serialize_ms: serialize }
  }
  const hops = route.map((_, place) => times(place))
  const step = {
    attempt: 0,
    phase: 'decode',
    rows: 1,
    begin_ms: 0,
    origin_ms: 0.5,
    hops,
    back_ms: 7,
    total_ms: 1,
    behind: 0,
  } as const
  return {
    began: 0,
    hops: route.map(([peer, from, to]) => ({ peer, from, to, clock_ms: 0 })),
    steps: [
      { ...step, position: 1 },
      { ...step, position: 1 + tokens },
    ],
    dropped: 0,
    void: { steps: 0, rows: 0 },
  }
}

function termsOf(...route: readonly Part[]): ReturnType<typeof measuredTerms> {
  const traces = new Traces({ count: () => undefined, observe: () => undefined })
  traces.add({ request: 'one', ...FACTS }, traceOf(route))
  return measuredTerms(traces.lastOf('m')!, 'a', manifest)
}

describe('the terms of an answer that was measured', () => {
  it('are its stages, the ways between them, and the ends at the origin with what the origin itself takes', () => {
    expect(termsOf(['a', 0, 1], ['b', 1, 3], ['c', 3, 5], ['a', 5, 6])).toEqual([
      { peer: 'a', to: 'b', ms: 2 + 8 },
      { peer: 'b', blocks: [1, 3], ms: 4 + 6 },
      { peer: 'b', to: 'c', ms: 3 + 12 },
      { peer: 'c', blocks: [3, 5], ms: 6 + 9 },
      { peer: 'c', to: 'a', ms: 4 + 16 },
      { peer: 'a', ms: 0.5 + 2 + 3 + 8 + 12 },
    ])
  })

  it('have the way back where the head is elsewhere, and nothing of a stage that holds an end and blocks too', () => {
    expect(termsOf(['a', 0, 3], ['b', 3, 6])).toEqual([
      { peer: 'a', to: 'b', ms: 2 + 8 },
      { peer: 'b', to: 'a', ms: 7 },
    ])
  })

  it('are those of a token where a step gave several', () => {
    const traces = new Traces({ count: () => undefined, observe: () => undefined })
    traces.add({ request: 'one', ...FACTS }, traceOf([['b', 1, 3]], 2))
    expect(measuredTerms(traces.lastOf('m')!, 'a', manifest)[1]).toEqual({ peer: 'b', blocks: [1, 3], ms: (2 + 3) / 2 })
  })

  it('are of the last answer of that model whose steps were told of', () => {
    const traces = new Traces({ count: () => undefined, observe: () => undefined })
    traces.add({ request: 'one', ...FACTS }, traceOf([['b', 1, 3]]))
    traces.add({ request: 'two', ...FACTS, model: 'other' }, traceOf([['b', 1, 3]]))
    traces.add(
      { request: 'three', ...FACTS },
      { began: 0, hops: [], steps: [], dropped: 0, void: { steps: 0, rows: 0 } },
    )
    expect(traces.lastOf('m')?.request).toBe('one')
    expect(traces.lastOf('digest of m', 'other')?.request).toBe('two')
    expect(traces.lastOf('unheard')).toBeUndefined()
  })
})
