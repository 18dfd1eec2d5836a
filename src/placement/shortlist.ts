/** The peers of a large mesh among which a plan is searched for: each step of the search takes the square of them. */
import type { Figures } from './cost.ts'
import type { PlanInput, PlanPeer } from './types.ts'

const MAX_PEERS = 160

/**
 * The most promising, by several measures in turn: least time for a block with the way from the origin and back shared
 * over the blocks that it can hold; the same with the way from its nearest peer; most blocks; least time; nearest to the
 * origin. All of a mesh that is no larger. Sorted by id: the order of listing must not matter.
 */
export function shortlist(input: PlanInput, figures: Figures, able: readonly PlanPeer[]): PlanPeer[] {
  const byId = [...able].sort((left, right) => (left.id < right.id ? -1 : 1))
  if (byId.length <= MAX_PEERS) return byId
  const { count, links } = figures
  const blockBytes = figures.need(0, count) / count
  const bytes = figures.boundary(count >> 1)
  const hop = (from: string, to: string): number => {
    const { fixed, perByte } = links.hop(from, to)
    return fixed + perByte * bytes
  }
  const near = nearestOf(input, byId, hop)
  const facts = byId.map((peer) => {
    const pace = figures.partMs(peer, 0, count) / count
    const blocks = Math.min(count, blockBytes > 0 ? Math.floor(figures.room(peer) / blockBytes) : count)
    const way = hop(input.origin, peer.id) + hop(peer.id, input.origin)
    return { peer, pace, blocks, way, near: near.get(peer.id) ?? way }
  })
  const measures: readonly ((fact: (typeof facts)[number]) => number)[] = [
    ({ pace, way, blocks }) => pace + way / Math.max(1, blocks),
    ({ pace, near: next, blocks }) => pace + next / Math.max(1, blocks),
    ({ blocks, pace }) => pace - blocks * 1e6,
    ({ pace }) => pace,
    ({ way }) => way,
  ]
  const sorted = measures.map((measure) =>
    facts
      .map((fact, place) => ({ place, value: measure(fact) }))
      .sort((left, right) => left.value - right.value || left.place - right.place),
  )
  const chosen = new Set(byId.filter(({ id }) => id === input.origin))
  for (let place = 0; chosen.size < MAX_PEERS; place++) {
    for (const list of sorted) if (chosen.size < MAX_PEERS) chosen.add(facts[list[place]!.place]!.peer)
  }
  return byId.filter((peer) => chosen.has(peer))
}

/** Milliseconds to the nearest peer that a link was measured to. */
function nearestOf(
  { links = [] }: PlanInput,
  peers: readonly PlanPeer[],
  hop: (from: string, to: string) => number,
): Map<string, number> {
  const able = new Set(peers.map(({ id }) => id))
  const near = new Map<string, number>()
  for (const { from, to } of links) {
    if (from === to || !able.has(from) || !able.has(to)) continue
    const ms = hop(from, to)
    for (const id of [from, to]) near.set(id, Math.min(near.get(id) ?? Infinity, ms))
  }
  return near
}
