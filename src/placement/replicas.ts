/** Who else could hold a stage: further holders, as far as memory is left, so that the loss of one is no loss of the model. */
import type { Figures } from './cost.ts'
import { planParts } from './range.ts'
import type { PlanInput, PlanPeer, Stage } from './types.ts'

/**
 * For each part one more holder, the one with which a token would take least; where no single peer has the room, several
 * that follow one another. The part that would be lost with most blocks comes first. A peer never stands in for itself.
 */
export function replicasOf(input: PlanInput, figures: Figures, parts: readonly Stage[]): Stage[] {
  const left = new Map(input.peers.map((peer) => [peer.id, figures.room(peer)]))
  const take = ({ peer, from, to }: Stage): void => void left.set(peer, left.get(peer)! - figures.need(from, to))
  for (const part of parts) take(part)
  const replicas: Stage[] = []
  const byLoss = parts.map((part, place) => ({ part, place }))
  byLoss.sort(
    (one, other) => other.part.to - other.part.from - (one.part.to - one.part.from) || one.place - other.place,
  )
  for (const { part, place } of byLoss) {
    const before = parts[place - 1]?.peer ?? input.origin
    const after = parts[place + 1]?.peer ?? input.origin
    const others = input.peers.filter(({ id }) => id !== part.peer)
    const room = (peer: PlanPeer): number => left.get(peer.id)!
    const [one] = holders(figures, others, room, part, before, after)
    const stands = one !== undefined ? [{ ...part, peer: one }] : planParts(figures, others, room, part, before, after)
    for (const stage of stands ?? []) {
      take(stage)
      replicas.push(stage)
    }
  }
  return replicas.sort((one, other) => one.from - other.from || (one.peer < other.peer ? -1 : 1))
}

/** Peers that could hold the whole part, the best first. */
function holders(
  figures: Figures,
  peers: readonly PlanPeer[],
  room: (peer: PlanPeer) => number,
  { from, to }: Stage,
  before: string,
  after: string,
): string[] {
  const ms = (peer: PlanPeer): number => {
    const sides = [figures.links.hop(before, peer.id), figures.links.hop(peer.id, after)]
    const bytes = [figures.boundary(from), figures.boundary(to)]
    const hops = sides.reduce((sum, { fixed, perByte }, side) => sum + fixed + perByte * bytes[side]!, 0)
    return hops + figures.partMs(peer, from, to)
  }
  return peers
    .filter((peer) => figures.need(from, to) <= room(peer))
    .map((peer) => ({ id: peer.id, ms: ms(peer) }))
    .sort((left, right) => left.ms - right.ms || (left.id < right.id ? -1 : 1))
    .map(({ id }) => id)
}
