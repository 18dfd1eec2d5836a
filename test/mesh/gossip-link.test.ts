/** What one link of the mesh makes of what its peer says, and what it costs. */
import { beforeEach, describe, expect, it } from 'vitest'
import { batchFrame } from '../../src/mesh/gossip-batch.ts'
import { GossipLink } from '../../src/mesh/gossip-link.ts'
import type { GossipLinkNeeds } from '../../src/mesh/gossip-link.ts'
import {
  answerFrame,
  digestFrames,
  GOSSIP,
  questionFrame,
  readDigest,
  summaryFrame,
} from '../../src/mesh/gossip-wire.ts'
import { FEW_BUCKETS, LINK_BURST } from '../../src/mesh/limits.ts'
import { newerThan } from '../../src/mesh/newer-than.ts'
import { RecordBook } from '../../src/mesh/record-book.ts'
import type { DigestEntry } from '../../src/mesh/record-book.ts'
import { SUM_BUCKETS, SUMS_BYTES } from '../../src/mesh/sums.ts'
import type { Channel, Frame } from '../../src/net/index.ts'
import { settle, virtualClock } from './support/virtual-clock.ts'

/** All buckets differ from those of an empty book, or so many. */
const summary = (buckets = SUM_BUCKETS): Frame =>
  summaryFrame(undefined, new Uint8Array(SUMS_BYTES).fill(1, 0, (SUMS_BYTES / SUM_BUCKETS) * buckets))

let hear: (message: Frame) => unknown
let link: GossipLink
let closed: PromiseWithResolvers<undefined>
let sent: Frame[]
/** Until it resolves nothing more is sent. */
let held: Promise<void> | undefined
let answers: { mayTell: boolean; mayAsk: boolean; received: boolean }
let [told, received] = [0, 0]
let asked: (readonly number[])[]

beforeEach(() => {
  ;[told, received, sent, asked, held] = [0, 0, [], [], undefined]
  answers = { mayTell: true, mayAsk: true, received: true }
  const clock = virtualClock()
  closed = Promise.withResolvers()
  const channel = {
    remote: 'peer',
    closed: closed.promise,
    onFrame: (handler: typeof hear) => (hear = handler),
    send: async (message: Frame) => {
      await held
      sent.push(message)
    },
  } as unknown as Channel
  const needs: GossipLinkNeeds = {
    channel,
    clock,
    book: new RecordBook({ clock, isNear: () => false, changed: () => undefined }),
    ageOf: () => 0,
    received: () => {
      received++
      return answers.received
    },
    farewell: () => undefined,
    mayTell: () => {
      told++
      return answers.mayTell
    },
    mayAsk: () => answers.mayAsk,
    asked: (buckets) => void asked.push(buckets),
  }
  link = new GossipLink(needs)
  expect(link.peer).toBe('peer')
})

const digests = (): readonly (readonly number[] | undefined)[] =>
  sent.filter(({ type }) => type === GOSSIP.digest).map(({ control }) => readDigest(control)!.of)

describe('who is told of by sums that much is lacking', () => {
  it('asks for it and takes it for asked', async () => {
    hear(summary())
    await settle()
    expect(asked.map(({ length }) => length)).toEqual([SUM_BUCKETS])
    expect(digests()).toEqual(asked)
  })

  it('takes nothing for asked that it may not tell of now', async () => {
    answers.mayTell = false
    hear(summary())
    await settle()
    expect([asked, digests()]).toEqual([[], []])
    answers.mayTell = true
    hear(summary())
    await settle()
    expect(digests()).toHaveLength(1)
  })

  it('uses up no turn to tell where everything was asked for already', () => {
    answers.mayAsk = false
    hear(summary())
    expect(told).toBe(0)
  })

  it('takes nothing for asked while the question before it waits to go out', async () => {
    let release = (): void => undefined
    held = new Promise((resolve) => (release = resolve))
    await settle()
    // The first is on its way, the second waits behind it, and the third would be dropped.
    for (const more of [0, 1, 2]) hear(summary(FEW_BUCKETS + 1 + more))
    expect(asked.map(({ length }) => length)).toEqual([FEW_BUCKETS + 1, FEW_BUCKETS + 2])
    expect(told).toBe(2)
    release()
    await settle()
    expect(digests()).toEqual(asked)
  })

  it('asks everybody for little', async () => {
    answers.mayAsk = false
    hear(summary(FEW_BUCKETS))
    await settle()
    expect(digests().map((of) => of?.length)).toEqual([FEW_BUCKETS])
    expect(asked).toEqual([])
  })

  it('asks for the buckets of what a digest of theirs has newer', async () => {
    const entries = Array.from({ length: 900 }, (_, at): DigestEntry => ['profile', '', `author ${at}`, 1])
    const [frame] = digestFrames(entries, true, [1])
    hear(frame!)
    await settle()
    expect(asked).toHaveLength(1)
    expect(asked[0]!.length).toBeGreaterThan(FEW_BUCKETS)
    expect(digests()).toEqual(asked)
  })
})

describe('records in one frame', () => {
  const record = { bytes: Uint8Array.of(1), age: 0 }

  it('behind a forged one are not looked at', () => {
    answers.received = false
    hear(batchFrame([record, record, record]))
    expect(received).toBe(1)
    answers.received = true
    hear(batchFrame([record, record, record]))
    expect(received).toBe(4)
  })

  it('cost one at least, so that empty ones without end are not read', () => {
    for (let count = 0; count < LINK_BURST; count++) expect(hear(batchFrame([]))).toBeUndefined()
    expect(hear(batchFrame([]))).toBeInstanceOf(Promise)
  })
})

describe('what is newer here', () => {
  it('is what the other side has not, or an older version of', () => {
    const theirs: DigestEntry[] = [
      ['profile', '', 'a', 3],
      ['model', 'x', 'a', 5],
      ['model', 'y', 'b', 5],
    ]
    const ours: DigestEntry[] = [
      ['profile', '', 'a', 3],
      ['model', 'x', 'a', 6],
      ['model', 'y', 'a', 1],
      ['model', 'y', 'b', 4],
      ['profile', '', 'c', 1],
    ]
    expect(newerThan(theirs, ours)).toEqual(['model\na\nx', 'model\na\ny', 'profile\nc\n'])
  })

  it('is found by looking at each entry once, whoever all of them are by', () => {
    let looks = 0
    const watched = (entry: DigestEntry): DigestEntry =>
      new Proxy(entry, {
        get: (target, key) => {
          looks++
          return Reflect.get(target, key) as unknown
        },
      })
    const one = Array.from({ length: 1_000 }, (_, at): DigestEntry => ['model', `key ${at}`, 'author', 1])
    expect(newerThan(one.map(watched), one)).toEqual([])
    const each = looks / one.length
    looks = 0
    const few = one.slice(0, 10)
    newerThan(few.map(watched), few)
    expect(each).toBe(looks / few.length)
  })
})

describe('whether the other side has taken what it was sent', () => {
  const numbers = (type: number): number[] => sent.filter((one) => one.type === type).map(({ request }) => request)

  it('is known at once of one that does not tell', async () => {
    await link.settled()
    expect(numbers(GOSSIP.question)).toEqual([])
  })

  it('is known when it has answered the question, or one after it, and when it is gone', async () => {
    hear(answerFrame(0))
    const ends: string[] = []
    for (const name of ['first', 'second', 'third']) void link.settled().then(() => ends.push(name))
    await settle()
    // What was asked while another frame was on its way is one question.
    expect(numbers(GOSSIP.question).at(-1)).toBe(3)
    hear(answerFrame(2))
    await settle()
    expect(ends).toEqual(['first', 'second'])
    closed.resolve(undefined)
    await settle()
    expect(ends).toEqual(['first', 'second', 'third'])
  })

  it('is told behind all that waits to be sent, once for several questions, and more are not read for ever', async () => {
    await settle()
    const gate = Promise.withResolvers<void>()
    held = gate.promise
    link.compare()
    for (let number = 1; number <= 3; number++) hear(questionFrame(number))
    link.compare()
    sent = []
    gate.resolve()
    held = undefined
    await settle()
    expect(sent.map(({ type }) => type)).toEqual([GOSSIP.summary, GOSSIP.summary, GOSSIP.answer])
    expect(numbers(GOSSIP.answer)).toEqual([3])
    for (let count = 0; count < LINK_BURST; count++) hear(questionFrame(4))
    expect(hear(questionFrame(4))).toBeInstanceOf(Promise)
  })
})
