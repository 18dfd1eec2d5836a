/** What is sent behind a token, and when: never behind an end token or the last one, and not far ahead of the reader. */
import { describe, expect, it } from 'vitest'
import { createFollower, MAX_UNREAD } from '../../src/pipeline/origin/follower.ts'

type Sent = [id: number, position: number]

function follower(limit: number, endTokens: readonly number[] = []) {
  const sent: Sent[] = []
  const made = createFollower({ start: 10, limit, endTokens: new Set(endTokens) }, (id, at) => void sent.push([id, at]))
  return { ...made, sent }
}

describe('a step is sent behind a token', () => {
  it('in the same tick, at the next position, but not behind the last that is wanted', () => {
    const three = follower(3)
    three.arrived(7, 0)
    expect(three.sent).toEqual([[7, 10]])
    three.arrived(8, 0)
    three.arrived(9, 0)
    expect(three.sent).toEqual([
      [7, 10],
      [8, 11],
    ])
  })

  it('never behind an end token, and for no token at all when none is wanted', () => {
    const ended = follower(100, [2])
    ended.arrived(5, 0)
    ended.arrived(2, 0)
    expect(ended.sent).toEqual([[5, 10]])
    const none = follower(0)
    none.arrived(5, 0)
    expect(none.sent).toEqual([])
  })

  it('later when the reader is behind: once it has taken one, and once only', () => {
    const slow = follower(100)
    slow.arrived(5, MAX_UNREAD - 1)
    expect(slow.sent).toHaveLength(1)
    slow.arrived(6, MAX_UNREAD)
    expect(slow.sent).toHaveLength(1)
    slow.taken(MAX_UNREAD)
    expect(slow.sent).toHaveLength(1)
    slow.taken(MAX_UNREAD - 1)
    slow.taken(MAX_UNREAD - 2)
    expect(slow.sent).toEqual([
      [5, 10],
      [6, 11],
    ])
    slow.arrived(7, 0)
    expect(slow.sent.at(-1)).toEqual([7, 12])
  })
})
