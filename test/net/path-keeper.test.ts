/** When a connection is taken for dead because another one to the same peer answers: after a move of either end. */
import { beforeEach, describe, expect, it } from 'vitest'
import { PATH_TIMES } from '../../src/net/constants.ts'
import type { Link, Links } from '../../src/net/links.ts'
import { createPathKeeper } from '../../src/net/path-keeper.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

interface Fake extends Link {
  readonly aborted: boolean
}

let clock: VirtualClock
let links: Fake[]
/** Milliseconds until a connection answers. */
let answerMs: Map<Link, number>
let dialled: number

beforeEach(() => {
  clock = virtualClock()
  links = []
  answerMs = new Map()
  dialled = 0
})

function link(openedAt: number, ms: number): Fake {
  const own = {
    peer: 'b',
    state: 'joined',
    openedAt,
    aborted: false,
    connection: {
      limits: undefined,
      direct: true,
      remoteAddr: { toString: () => '/ip4/127.0.0.1/tcp/1', getComponents: () => [] },
      abort: () => {
        own.aborted = true
        own.state = 'closed'
      },
    },
  }
  const made = own as unknown as Fake
  links.push(made)
  answerMs.set(made, ms)
  return made
}

function keeper(): ReturnType<typeof createPathKeeper> {
  const joined = (): Fake[] => links.filter(({ state }) => state === 'joined')
  return createPathKeeper({
    clock,
    random: systemRandom(),
    logger: { info: () => undefined } as never,
    links: { of: () => links, joined, direct: () => joined()[0], primary: () => joined().at(-1) } as unknown as Links,
    times: PATH_TIMES,
    answers: async (of, wait) => {
      const ms = answerMs.get(of)!
      await clock.sleep(Math.min(ms, wait))
      return ms <= wait
    },
    mayRelay: () => false,
    relay: () => Promise.resolve(false),
    dial: () => {
      dialled++
      link(clock.now(), 10)
      return Promise.resolve(true)
    },
    quietFor: () => 0,
  })
}

describe('a connection beside a newer one to the same peer', () => {
  it('that says nothing is dead soon after the newer one has answered', async () => {
    const old = link(-60_000, Infinity)
    keeper().joined(link(0, 10))
    await clock.advance(59)
    expect(old.aborted).toBe(false)
    await clock.advance(2)
    expect(old.aborted).toBe(true)
  })

  it('that answers no later than that is kept', async () => {
    const old = link(-60_000, 55)
    keeper().joined(link(0, 10))
    await clock.advance(1_000)
    expect(old.aborted).toBe(false)
  })

  it('is kept where the peer is busy, and slow over both', async () => {
    const old = link(-60_000, 190)
    keeper().joined(link(0, 180))
    await clock.advance(1_000)
    expect(old.aborted).toBe(false)
  })
})

describe('after this machine has moved', () => {
  it('a connection that says nothing is made anew, and is dead when the new one answers', async () => {
    const old = link(-60_000, Infinity)
    keeper().moved()
    await clock.advance(200)
    expect([dialled, old.aborted]).toEqual([1, false])
    await clock.advance(61)
    expect(old.aborted).toBe(true)
  })

  it('one that answers is left alone', async () => {
    const old = link(-60_000, 150)
    keeper().moved()
    await clock.advance(1_000)
    expect([dialled, old.aborted]).toEqual([0, false])
  })
})
