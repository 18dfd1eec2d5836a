/** The best cut along a given order in which peers may stand more than once: exact, by labels that do not dominate each other. */
import type { Chain, ChainStage, Problem } from './problem.ts'

interface Label {
  readonly cost: number
  /** Bytes that each peer of the order which comes more than once holds by now. */
  readonly held: readonly number[]
  readonly stage: ChainStage
  readonly before: Label | undefined
}

/**
 * The cheapest chain that takes its stages from `order` in that order, some left out; a peer's stages share its room.
 * Without repeats each state has one label, as in `alongOrder`; with them, as many as there are ways to have used memory
 * for less time: meant for orders that people write.
 */
export function withRepeats(problem: Problem, order: readonly number[]): Chain | undefined {
  const { blocks, peers, hops, boundary, need, room, spent, reach } = problem
  const repeated = [...new Set(order.filter((peer, place) => order.indexOf(peer) !== place))]
  const states: Label[][][] = []
  const extend = (
    row: Label[][],
    peer: number,
    from: number,
    start: Pick<Label, 'cost' | 'held'>,
    before?: Label,
  ): void => {
    const slot = repeated.indexOf(peer)
    const free = room[peer]! - (slot < 0 ? 0 : start.held[slot]!)
    const base = peer * (blocks + 1)
    for (let to = from + 1; to <= reach[peer * blocks + from]!; to++) {
      const bytes = need[to]! - need[from]!
      if (bytes > free) break
      const held = start.held.map((used, index) => (index === slot ? used + bytes : used))
      const cost = start.cost + spent[base + to]! - spent[base + from]!
      keep(row[to]!, { cost, held, stage: { peer, from, to }, before })
    }
  }
  for (const [place, peer] of order.entries()) {
    const row = Array.from({ length: blocks + 1 }, (): Label[] => [])
    const nothing = repeated.map(() => 0)
    extend(row, peer, 0, { cost: hops[boundary[0]!]![peers * (peers + 1) + peer]!, held: nothing })
    for (let earlier = 0; earlier < place; earlier++) {
      const last = order[earlier]!
      if (last === peer) continue
      for (let from = 1; from < blocks; from++) {
        const hop = hops[boundary[from]!]![last * (peers + 1) + peer]!
        for (const label of states[earlier]![from]!) {
          extend(row, peer, from, { cost: label.cost + hop, held: label.held }, label)
        }
      }
    }
    states.push(row)
  }
  let best: Label | undefined
  let least = Infinity
  for (const [place, peer] of order.entries()) {
    for (const label of states[place]![blocks]!) {
      const cost = label.cost + hops[boundary[blocks]!]![peer * (peers + 1) + peers]!
      if (cost < least) [best, least] = [label, cost]
    }
  }
  if (best === undefined) return undefined
  const stages: ChainStage[] = []
  for (let label: Label | undefined = best; label !== undefined; label = label.before) stages.unshift(label.stage)
  return { cost: least, stages }
}

/** Unless one that is there costs no more and has used no more. */
function keep(labels: Label[], label: Label): void {
  const beats = (one: Label, other: Label): boolean =>
    one.cost <= other.cost && one.held.every((bytes, index) => bytes <= other.held[index]!)
  if (labels.some((known) => beats(known, label))) return
  const rest = labels.filter((known) => !beats(label, known))
  labels.splice(0, labels.length, ...rest, label)
}
