/**
 * In a large mesh, what is new here goes on to a few others. What comes within a while goes on together and to the same few:
 * a frame of fifty records costs little more than one of a single record, and a mesh that comes up has nothing else to do.
 * The first after a while of silence does not wait, so that a quiet mesh is as quick as one without this.
 */
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import type { GossipLink } from './gossip-link.ts'
import { LARGE_FORWARD_FANOUT, PASS_ON_MS } from './limits.ts'
import { drawn } from './shuffle.ts'

export interface PassingOn {
  /** @param from who sent it */
  add(id: string, author: string, from: string): void
  stop(): void
}

export interface PassingOnNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly links: () => readonly GossipLink[]
}

interface Fresh {
  readonly author: string
  readonly from: string
}

export function createPassingOn({ clock, random, links }: PassingOnNeeds): PassingOn {
  const fresh = new Map<string, Fresh>()
  let cancel: CancelTimer | undefined
  let lastAt = -Infinity

  const pass = (): void => {
    cancel = undefined
    lastAt = clock.now()
    // Two more, since it may fall on its author and on who has sent it.
    const told = drawn(links(), LARGE_FORWARD_FANOUT + 2, random)
    const ids = told.map((): string[] => [])
    for (const [id, { author, from }] of fresh) {
      let left = LARGE_FORWARD_FANOUT
      for (const [index, { peer }] of told.entries())
        if (left > 0 && peer !== author && peer !== from) {
          ids[index]!.push(id)
          left--
        }
    }
    fresh.clear()
    for (const [index, link] of told.entries()) link.push(...ids[index]!)
  }

  return {
    add(id, author, from) {
      fresh.set(id, { author, from })
      cancel ??= clock.after(Math.max(0, lastAt + PASS_ON_MS - clock.now()), pass)
    },
    stop: () => cancel?.(),
  }
}
