/** Who is taken for lost: by the origin's own connections, by a neighbour's word, and not by anybody's. */
import { beforeEach, describe, expect, it } from 'vitest'
import { ChannelClosedError } from '../../src/net/index.ts'
import { isRecoverable, Trouble } from '../../src/pipeline/origin/trouble.ts'
import { NotFiniteError } from '../../src/pipeline/host/errors.ts'
import { PeerLostError, RowsNotFiniteError, SessionRefusedError } from '../../src/pipeline/ring/errors.ts'

const ROUTE = ['self', 'b', 'c', 'self'].map((peer, from) => ({ peer, from, to: from + 1 }))

let reachable: Set<string>
let trouble: Trouble
const lost = (): string[] => trouble.lost.map(({ segment }) => `${segment.peer}${segment.from}`)

beforeEach(() => {
  reachable = new Set(['self', 'b', 'c'])
  trouble = new Trouble('self', { isReachable: (peer) => reachable.has(peer) })
})

describe('a channel between two that are well', () => {
  it('is tried again once, and then the neighbour is replaced', () => {
    trouble.broken(ROUTE, 1, 'c', 'ended', false)
    expect(lost()).toEqual([])
    expect(trouble.version).toBe(1)
    trouble.broken(ROUTE, 1, 'c', 'ended', false)
    expect(lost()).toEqual(['c2'])
    expect(trouble.avoid).toEqual(new Set(['c']))
  })

  it('to a neighbour that is gone for one of them is not: the neighbour is replaced at once', () => {
    trouble.broken(ROUTE, 1, 'c', 'silent', true)
    expect(lost()).toEqual(['c2'])
    // Though the origin reaches it, and nobody is as ready for these blocks: its neighbour would lose it again.
    expect(trouble.avoid).toEqual(new Set(['c']))
  })

  it('is told of by both of them, and costs one', () => {
    trouble.broken(ROUTE, 2, 'b', 'silent', true)
    expect(lost()).toEqual(['b1'])
    trouble.broken(ROUTE, 1, 'c', 'silent', true)
    expect(lost()).toEqual(['b1'])
    expect(trouble.avoid).toEqual(new Set(['b']))
  })

  it('never costs the origin its own stage: whoever cannot reach it is replaced', () => {
    trouble.broken(ROUTE, 2, 'self', 'silent', true)
    expect(lost()).toEqual(['c2'])
  })

  it('to somebody who is no neighbour costs nobody anything', () => {
    for (let time = 0; time < 3; time++) trouble.broken(ROUTE, 2, 'stranger', 'silent', true)
    expect(lost()).toEqual([])
  })
})

describe('a peer', () => {
  it('that takes too long to open a session is asked last, however often, until it has loaded', () => {
    for (let time = 0; time < 3; time++) {
      trouble.silent(ROUTE[1]!, new Set([ROUTE[1]!]))
      trouble.settle(trouble.lost)
    }
    expect(trouble.avoiding()).toEqual(new Set(['b']))
    expect(trouble.avoiding((peer) => peer === 'b')).toEqual(new Set())
    // The control: one that was open and says nothing fails for a reason of its own, and what it has loaded is no excuse.
    for (let time = 0; time < 2; time++) trouble.silent(ROUTE[2]!, new Set())
    expect(trouble.avoiding(() => true)).toEqual(new Set(['c']))
  })

  it('that is gone loses all its stages, one whose channel ended only if it cannot be reached', () => {
    trouble.lostPeer(ROUTE, 'b', 'ended', false)
    expect(lost()).toEqual([])
    reachable.delete('b')
    trouble.lostPeer(ROUTE, 'b', 'ended', false)
    trouble.lostPeer(ROUTE, 'c', 'gone', true)
    expect(lost()).toEqual(['b1', 'c2'])
    trouble.settle(trouble.lost)
    expect(lost()).toEqual([])
  })

  it('that was not reached in time is asked last, though it is still there for the mesh; one whose channel ended is not', () => {
    trouble.unsent(ROUTE, 'b', new PeerLostError('b', 'it was not reached in 2.5 s'))
    trouble.unsent(ROUTE, 'c', new ChannelClosedError('c'))
    expect(lost()).toEqual(['b1', 'c2'])
    expect(trouble.avoiding(() => true)).toEqual(new Set(['b']))
  })

  it('that fails twice is asked last from then on', () => {
    trouble.fail(ROUTE[1]!, 'no room')
    expect(trouble.avoid).toEqual(new Set())
    trouble.settle(trouble.lost)
    trouble.fail(ROUTE[1]!, 'no room')
    expect(trouble.avoid).toEqual(new Set(['b']))
  })
})

it('a refusal is one of the request at first, and one of a replacement later; what others would compute too ends it', () => {
  const refused = new SessionRefusedError('no room', {})
  expect([isRecoverable(refused, false), isRecoverable(refused, true)]).toEqual([false, true])
  expect(isRecoverable(new PeerLostError('b', 'gone'), false)).toBe(true)
  expect(isRecoverable(new NotFiniteError('the logits'), true)).toBe(false)
})

describe('a stage that computes what are no numbers', () => {
  const error = new RowsNotFiniteError(1, 2, 0)

  it('is left out, and another is asked; who says so for a second time has the model against it', () => {
    expect(trouble.survives(ROUTE[1]!, error, true)).toBe(true)
    expect(trouble.avoid).toEqual(new Set(['b']))
    expect(trouble.survives(ROUTE[2]!, error, true)).toBe(false)
  })

  it('while the session is not open yet ends it', () => {
    expect(trouble.survives(ROUTE[1]!, error, false)).toBe(false)
  })
})
