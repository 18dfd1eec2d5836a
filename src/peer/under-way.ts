/** Answers under way, and their stages at peers that have become slow: they move to where the placement now is. */
import type { ModelManifest } from '../models/index.ts'
import type { OriginSession, RouteSegment } from '../pipeline/index.ts'
import type { Placing } from './placing.ts'

export interface Tracked {
  /** Notes the session until it is closed. @param ended told of that */
  session(opened: OriginSession, ended: () => void): OriginSession
  /** Who takes a segment that moves; undefined: the segment was lost, or the placement has it in other pieces. */
  successor(segment: RouteSegment, avoid: ReadonlySet<string>): readonly RouteSegment[] | undefined
}

interface Entry {
  readonly digest: string
  readonly opened: OriginSession
  /** Peers that it moves away from. */
  readonly from: Set<string>
}

export class UnderWay {
  readonly #placing: Pick<Placing, 'standing'>
  readonly #entries = new Set<Entry>()

  constructor(placing: Pick<Placing, 'standing'>) {
    this.#placing = placing
  }

  track(manifest: ModelManifest): Tracked {
    let entry: Entry | undefined
    return {
      session: (opened, ended) => {
        const own = { digest: manifest.digest, opened, from: new Set<string>() }
        entry = own
        this.#entries.add(own)
        return {
          get hops() {
            return opened.hops
          },
          ...(opened.reused === undefined ? {} : { reused: opened.reused }),
          take: () => opened.take(),
          send: (ids, position, wantToken) => opened.send(ids, position, wantToken),
          settle: () => opened.settle?.() ?? Promise.resolve([]),
          close: () => {
            this.#entries.delete(own)
            opened.close()
            ended()
          },
        }
      },
      successor: ({ peer, from, to }, avoid) => {
        if (entry?.from.has(peer) !== true) return undefined
        const stage = this.#placing.standing(manifest)?.find((other) => other.from === from && other.to === to)
        return stage === undefined || stage.peer === peer || avoid.has(stage.peer) ? undefined : [stage]
      },
    }
  }

  has(digest: string): boolean {
    return [...this.#entries].some((entry) => entry.digest === digest)
  }

  /** Sessions of this model leave these peers, hop by hop. */
  leave(digest: string, peers: ReadonlySet<string>): void {
    for (const entry of this.#entries) {
      if (entry.digest !== digest) continue
      const hops = [...entry.opened.hops.entries()].filter(([, { peer }]) => peers.has(peer))
      for (const [, { peer }] of hops) entry.from.add(peer)
      for (const [hop] of hops) entry.opened.leaving?.(hop)
    }
  }
}
