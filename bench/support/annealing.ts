/**
 * A long search to hold the planner against: simulated annealing (Kirkpatrick, Gelatt and Vecchi 1983) over placements as
 * they are, a list of peers with a number of blocks each, with its own account of what a placement costs.
 */
import type { PlanInput } from '../../src/placement/index.ts'
import { crossing, ownMs, rowsFactor } from '../../test/placement/brute-force.ts'

export type Goal = 'latency' | 'first-token' | 'throughput'

/** `peer`: its place in the list. */
interface Part {
  readonly peer: number
  readonly blocks: number
}

export interface Annealed {
  readonly value: number
  readonly parts: readonly Part[]
}

interface World {
  readonly pace: readonly number[]
  /** Blocks that a peer can hold. */
  readonly capacity: readonly number[]
  readonly all: readonly (readonly number[])[]
  readonly wire: readonly (readonly number[])[]
  readonly base: number
  readonly origin: number
  readonly blocks: number
  value(sum: number, longest: number): number
}

/** All decoder blocks must be alike. */
function worldOf(input: PlanInput, goal: Goal, rows: number): World {
  const decoders = input.blocks.filter(({ kind }) => kind === 'decoder')
  const [block] = decoders
  const outer = input.blocks.filter(({ kind }) => kind !== 'decoder')
  const need = block!.memory + block!.kv_bytes * input.context * input.concurrency
  const ends = outer.reduce(
    (sum, { memory, kv_bytes }) => sum + memory + kv_bytes * input.context * input.concurrency,
    0,
  )
  const origin = input.peers.findIndex(({ id }) => id === input.origin)
  const factor = rowsFactor(rows)
  const head = input.blocks.filter(({ kind }) => kind === 'head')
  const counted = outer.filter(({ kind }) => goal !== 'first-token' || kind !== 'head')
  const spentOn = (blocks: typeof outer): number =>
    blocks.reduce((sum, one) => sum + ownMs(input, input.peers[origin]!, one), 0)
  const chunks = Math.ceil(Math.min(input.prompt ?? 512, input.context) / rows)
  const sessions = input.concurrency
  const bytes = (block!.boundaryBytes ?? 0) * rows
  const table = (of: 'all' | 'wire'): number[][] =>
    input.peers.map((from) => input.peers.map((to) => crossing(input, from.id, to.id, bytes)[of]))
  return {
    pace: input.peers.map((peer) => ownMs(input, peer, block!) * factor),
    capacity: input.peers.map((peer, index) =>
      Math.max(0, Math.floor((peer.memory - peer.reserved - (index === origin ? ends : 0)) / need)),
    ),
    all: table('all'),
    wire: table('wire'),
    base: spentOn(counted) * factor,
    origin,
    blocks: decoders.length,
    value: (sum, longest) => {
      if (goal === 'latency') return sum
      if (goal === 'first-token') return sum + (chunks - 1) * longest + spentOn(head)
      return Math.max(sum / sessions, longest / rows)
    },
  }
}

/** Infinity where a peer holds more than it can. */
function valueOf(world: World, parts: readonly Part[], busy: Float64Array, held: Int32Array): number {
  const { pace, capacity, all, wire, base, origin } = world
  busy.fill(0)
  held.fill(0)
  busy[origin] = base
  let [sum, longest, at] = [base, base, origin]
  for (const { peer, blocks } of parts) {
    held[peer]! += blocks
    if (held[peer]! > capacity[peer]!) return Infinity
    const ms = blocks * pace[peer]!
    busy[peer]! += ms
    sum += all[at]![peer]! + ms
    longest = Math.max(longest, busy[peer]!, wire[at]![peer]!)
    at = peer
  }
  return world.value(sum + all[at]![origin]!, Math.max(longest, wire[at]![origin]!))
}

/** The best found until the clock says so, for one number of rows at once. */
export function anneal(
  input: PlanInput,
  goal: Goal,
  rows: number,
  random: () => number,
  until: () => boolean,
): Annealed {
  const world = worldOf(input, goal, rows)
  const [busy, held] = [new Float64Array(input.peers.length), new Int32Array(input.peers.length)]
  const able = input.peers.map((_, index) => index).filter((index) => world.capacity[index]! > 0)
  const below = (count: number): number => Math.floor(random() * count)
  let best: Annealed = { value: Infinity, parts: [] }
  while (!until()) {
    let parts = startOf(world, able, below)
    if (parts === undefined) return best
    let value = valueOf(world, parts, busy, held)
    let heat = value * 0.1
    for (let step = 0; heat > value * 1e-6; step++) {
      if (step % 4096 === 0 && until()) break
      const next = changed(parts, able, below)
      const nextValue = valueOf(world, next, busy, held)
      if (nextValue <= value || random() < Math.exp((value - nextValue) / heat)) [parts, value] = [next, nextValue]
      if (value < best.value) best = { value, parts }
      heat *= 0.999_98
    }
  }
  return best
}

function startOf(
  { blocks, capacity }: World,
  able: readonly number[],
  below: (n: number) => number,
): Part[] | undefined {
  const shuffled = [...able]
  for (let index = shuffled.length - 1; index > 0; index--) {
    const other = below(index + 1)
    ;[shuffled[index], shuffled[other]] = [shuffled[other]!, shuffled[index]!]
  }
  const parts: Part[] = []
  let left = blocks
  for (const peer of shuffled) {
    const taken = Math.min(left, capacity[peer]!)
    if (taken > 0) parts.push({ peer, blocks: taken })
    left -= taken
  }
  return left > 0 ? undefined : parts
}

function changed(parts: readonly Part[], able: readonly number[], below: (n: number) => number): Part[] {
  const next = [...parts]
  const [here, there] = [below(next.length), below(next.length)]
  const one = next[here]!
  switch (below(6)) {
    case 0: {
      // Some blocks from one to another.
      if (here === there) return next
      const moved = 1 + below(one.blocks)
      next[there] = { ...next[there]!, blocks: next[there]!.blocks + moved }
      next[here] = { ...one, blocks: one.blocks - moved }
      return next.filter(({ blocks }) => blocks > 0)
    }
    case 1:
      next[here] = { ...one, peer: able[below(able.length)]! }
      return next
    case 2: {
      const moved = 1 + below(one.blocks)
      next[here] = { ...one, blocks: one.blocks - moved }
      next.splice(below(next.length + 1), 0, { peer: able[below(able.length)]!, blocks: moved })
      return next.filter(({ blocks }) => blocks > 0)
    }
    case 3: {
      const [left, right] = [Math.min(here, there), Math.max(here, there)]
      return [...next.slice(0, left), ...next.slice(left, right + 1).reverse(), ...next.slice(right + 1)]
    }
    case 4:
      next.splice(here, 1)
      next.splice(there, 0, one)
      return next
    default: {
      ;[next[here], next[there]] = [
        { ...one, peer: next[there]!.peer },
        { ...next[there]!, peer: one.peer },
      ]
      return next
    }
  }
}
