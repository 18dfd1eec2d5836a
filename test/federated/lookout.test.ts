/** Whom a member follows because it says that it is further. */
import { describe, expect, it } from 'vitest'
import { Lookout } from '../../src/federated/rounds/lookout.ts'
import type { Pipe } from '../../src/federated/rounds/pipe.ts'
import { systemClock } from '../../src/util/index.ts'

const PEERS = ['self', 'first', 'other', 'liar']

/** A member that waits at the first, and hears of the liar that it has done so many sums. */
async function told(done: number): Promise<{ readonly lookout: Lookout; readonly standing: { base: number } }> {
  const standing = { base: 1 }
  const lookout = new Lookout({
    clock: systemClock(),
    self: { id: 'self' },
    job: { peers: PEERS },
    standing,
    progress: (peer) => Promise.resolve(peer === 'liar' ? done : standing.base),
    admits: () => true,
    times: { probeMs: 1 },
  })
  let isOpen = true
  const leave = (): void => void (isOpen = false)
  const pipe = {
    remote: 'first',
    get isOpen() {
      return isOpen
    },
  } as Pipe
  await lookout.watch([], pipe, leave)
  return { lookout, standing }
}

it('a member that comes first itself goes back to itself: the others wait for it there, and no network leads to it', async () => {
  const asked: string[] = []
  const lookout = new Lookout({
    clock: systemClock(),
    self: { id: 'self' },
    job: { peers: PEERS },
    standing: { base: 1 },
    progress: (peer) => {
      asked.push(peer)
      return Promise.resolve(undefined)
    },
    admits: () => true,
    times: { probeMs: 1 },
  })
  let left = 0
  const pipe = { remote: 'other', isOpen: true } as Pipe
  await lookout.watch(['self', 'first'], pipe, () => void left++)
  expect([left, asked]).toEqual([1, []])
})

async function followed(lookout: Lookout): Promise<(readonly [string, readonly string[]])[]> {
  const visits: [string, readonly string[]][] = []
  await lookout.follow((peer, others) => Promise.resolve(void visits.push([peer, others])))
  return visits
}

describe('one that says it is further', () => {
  it('is visited once, and left for any other that is there', async () => {
    const { lookout } = await told(3)
    expect(await followed(lookout)).toEqual([['liar', ['first', 'other']]])
    expect(await followed(lookout)).toEqual([])
  })

  it('is not visited when this member has come as far meanwhile', async () => {
    const { lookout, standing } = await told(2)
    standing.base = 2
    expect(await followed(lookout)).toEqual([])
  })
})
