/** What must hold at the end: a healed core agrees with itself, serves exactly, blames nobody and holds on to nothing. */
import { createHash } from 'node:crypto'
import type { SimulatedPeer } from './peer.ts'

/** What a peer knows of the others of the core: who is there, and what they hold and are to hold. */
function viewOf(by: SimulatedPeer, core: readonly SimulatedPeer[]): string {
  const ids = new Set(core.map(({ id }) => id))
  const status = by.peer!.status()
  const stages = status.stages
    .filter(({ peer }) => ids.has(peer))
    .map(({ model, from, to, peer, state }) => [model, from, to, peer, state].join(' '))
    .sort()
  const placements = status.placements?.map(({ model, epoch, author, stages: placed }) => ({
    model,
    epoch,
    author,
    placed,
  }))
  return JSON.stringify({ stages, placements })
}

/** Undefined when all of a core agree; else who differs, and in what. */
export function disagreement(core: readonly SimulatedPeer[]): string | undefined {
  const down = core.filter((peer) => !peer.isUp)
  if (down.length > 0) return `${down.map(({ name }) => name).join()} not up`
  for (const by of core) {
    const states = new Map(by.peer!.status().peers.map(({ id, state }) => [id, state]))
    const far = core.filter((other) => other !== by && states.get(other.id) !== 'connected')
    if (far.length > 0) return `${by.name} is not connected to ${far.map(({ name }) => name).join()}`
  }
  const views = core.map((by) => viewOf(by, core))
  const other = views.findIndex((view) => view !== views[0])
  return other < 0 ? undefined : `${core[0]!.name} and ${core[other]!.name} differ: ${views[0]} | ${views[other]}`
}

/** Peers in quarantine that never lied. */
export function wronglyBlamed(peers: readonly SimulatedPeer[], liar: string | undefined): string[] {
  return peers.flatMap((by) =>
    (by.peer?.status().quarantine ?? [])
      .filter(({ peer }) => peer !== liar)
      .map(
        ({ peer, reason }) => `${by.name} has ${peers.find(({ id }) => id === peer)?.name} in quarantine: ${reason}`,
      ),
  )
}

/** Sessions of others that a peer still holds, by its counters of this life. */
export function heldSessions(peer: SimulatedPeer): number {
  const { sessions_opened: opened = 0, sessions_freed: freed = 0 } = peer.peer!.status().counters
  return opened - freed
}

/** Counters of all peers, so that runs which differ anywhere have different hashes. */
export function countersHash(peers: readonly SimulatedPeer[]): string {
  const all = peers.map((peer) => [peer.name, peer.lives, peer.peer?.status().counters ?? null])
  return createHash('sha256').update(JSON.stringify(all)).digest('hex')
}
