/** Whoever stops reading an answer stops its stages, however well a small model guesses ahead of it. */
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { MAX_UNREAD } from '../../../src/pipeline/origin/follower.ts'
import { Giving } from '../../../src/pipeline/origin/giving.ts'
import type { SessionInit, SessionNeeds } from '../../../src/pipeline/origin/session.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../../src/util/index.ts'
import { draftHost } from '../support/draft-host.ts'
import { handClock } from '../support/hand-clock.ts'

const PROMPT = [1, 2, 3, 4, 5]
const LIMIT = 1_000
const truth = (position: number): number => PROMPT[position] ?? 1_000 + position

it('nothing more is given than was under way when the reader stopped, and it goes on when it reads again', async () => {
  const clock = handClock()
  const host = draftHost(clock, { guess: 1, share: 1 }, truth)
  const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
  const init = {
    prompt: PROMPT,
    follow: { start: PROMPT.length, limit: LIMIT, endTokens: new Set() },
    speculate: 'draft',
    sampler,
    draft: { blocks: 4, context: 10_000, vocabulary: 2_000_000, open: host.open },
  } as unknown as SessionInit
  const needs = { clock, random: systemRandom(), count: () => undefined } as unknown as SessionNeeds
  let furthest = 0
  /** A head for which all guesses are right, over a link of 20 ms. */
  const send = (message: Frame): Promise<void> => {
    const rows = message.dims[0]!
    const guesses = message.control.length === 0 ? 0 : rows - 1
    const first = message.position + rows - 1 - guesses
    furthest = Math.max(furthest, message.position + rows)
    const ids = Array.from({ length: guesses + 1 }, (_, at) => truth(first + at + 1))
    const payload = new Uint8Array(Int32Array.from(ids).buffer)
    const answer = frame({
      ...message,
      type: RING.token,
      rows,
      dims: [ids.length],
      payload,
      control: new Uint8Array(0),
    })
    clock.after(20, () => expect(giving.text.token(answer, { first, chains: true })).toBe(true))
    return Promise.resolve()
  }
  const giving: Giving = new Giving(needs, init, { request: 1, attempt: () => 0, send })
  await giving.send(PROMPT, 0)
  const pass = async (milliseconds: number): Promise<void> => {
    for (let at = 0; at < milliseconds; at++) {
      clock.advance(1)
      await setImmediate()
    }
  }
  await pass(600)
  // A window that was under way may come beyond it, and those behind that.
  const [stopped, given] = [giving.text.tokens.length, furthest]
  expect(stopped).toBeGreaterThan(MAX_UNREAD)
  expect(stopped).toBeLessThan(MAX_UNREAD + 9 * 16)
  await pass(600)
  expect([giving.text.tokens.length, furthest]).toEqual([stopped, given])
  for (let read = 0; read < stopped; read++) await giving.text.take()
  await pass(100)
  expect(giving.text.tokens.length).toBeGreaterThan(stopped)
  expect(giving.text.tokens).toEqual(giving.text.tokens.map((_, at) => truth(PROMPT.length + at)))
  giving.close()
})
