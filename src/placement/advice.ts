/** What would help most: the plan made again with one thing better, for each thing that could be. */
import { candidate, valueOf } from './plan.ts'
import { holdersOf } from './runners-up.ts'
import type { Plan, PlanInput, PlanLink, PlanPeer } from './types.ts'

/** Less than this is no advice. */
const LEAST_FACTOR = 1.05
const MOST_SHOWN = 5
/** Meshes up to this size have every pair of peers tried. */
const SMALL_MESH = 7
/** Of the peers that are not in the plan, those that are tried. */
const MOST_OTHERS = 4
const MOST_TRIES = 60
/** Of a large mesh, where each plan takes part of a second. */
const FEW_TRIES = 16
const LARGE_MESH = 100

export interface Advice {
  /** E.g. `a 1 Gbit/s link between a and b`. */
  readonly change: string
  /** How many times better the plan's objective becomes. */
  readonly factor: number
}

interface Trial {
  readonly change: string
  readonly input: PlanInput
}

/** The most helpful first. */
export function adviceFor(input: PlanInput, plan: Plan): Advice[] {
  if (plan.prediction === null) return []
  const now = valueOf(input.objective, plan.prediction)
  const most = input.peers.length > LARGE_MESH ? FEW_TRIES : MOST_TRIES
  return trials(input, holdersOf(plan.prediction))
    .slice(0, most)
    .map(({ change, input: better }) => {
      const other = candidate(better)
      return { change, factor: other === undefined ? 1 : now / valueOf(input.objective, other.prediction) }
    })
    .filter(({ factor }) => factor >= LEAST_FACTOR)
    .sort((left, right) => right.factor - left.factor || (left.change < right.change ? -1 : 1))
    .slice(0, MOST_SHOWN)
}

function trials(input: PlanInput, chosen: readonly string[]): Trial[] {
  const peers = [...input.peers].sort((left, right) => (left.id < right.id ? -1 : 1))
  const rate = ({ speed, threads, blockMs }: PlanPeer): number =>
    blockMs === undefined ? speed * threads : 1e12 / blockMs
  const others = peers
    .filter(({ id }) => !chosen.includes(id) && id !== input.origin)
    .sort((left, right) => rate(right) - rate(left))
    .slice(0, MOST_OTHERS)
  const near = [...peers.filter(({ id }) => chosen.includes(id) || id === input.origin), ...others]
  const pairs = pairsOf(peers.length <= SMALL_MESH ? peers : near)
  const fastest = near.reduce((best, peer) => (rate(peer) > rate(best) ? peer : best))
  return [
    another(input, fastest),
    ...near.map((peer) => changed(input, peer, `${peer.id} twice as fast`, faster(peer))),
    ...near.map((peer) =>
      changed(input, peer, `twice the memory on ${peer.id} (${sizeText(2 * peer.memory)})`, {
        memory: 2 * peer.memory,
      }),
    ),
    ...pairs.flatMap(([one, other]) => links(input, one.id, other.id)),
  ]
}

function pairsOf(peers: readonly PlanPeer[]): (readonly [PlanPeer, PlanPeer])[] {
  return peers.flatMap((one, place) => peers.slice(place + 1).map((other) => [one, other] as const))
}

function faster({ speed, blockMs, headMs, prefillMs, bandwidth }: PlanPeer): Partial<PlanPeer> {
  return {
    speed: 2 * speed,
    ...(blockMs === undefined ? {} : { blockMs: blockMs / 2 }),
    ...(headMs === undefined ? {} : { headMs: headMs / 2 }),
    ...(prefillMs === undefined ? {} : { prefillMs: prefillMs / 2 }),
    ...(bandwidth === undefined ? {} : { bandwidth: 2 * bandwidth }),
  }
}

function changed(input: PlanInput, peer: PlanPeer, change: string, better: Partial<PlanPeer>): Trial {
  const peers = input.peers.map((one) => (one.id === peer.id ? { ...one, ...better } : one))
  return { change, input: { ...input, peers } }
}

/** The same peer once more, on the same links and beside the first. */
function another(input: PlanInput, peer: PlanPeer): Trial {
  const id = `${peer.id}'`
  const old = input.links ?? []
  const copies = old.flatMap((link) => {
    if (link.from === peer.id) return [{ ...link, from: id }]
    return link.to === peer.id ? [{ ...link, to: id }] : []
  })
  const peers = [...input.peers, { ...peer, id, reserved: 0 }]
  return { change: `another peer like ${peer.id} beside it`, input: { ...input, peers, links: [...old, ...copies] } }
}

/** Ten times the bandwidth, and half the round trip, of a link that was measured. */
function links(input: PlanInput, one: string, other: string): Trial[] {
  const isOf = ({ from, to }: PlanLink): boolean => (from === one && to === other) || (from === other && to === one)
  const [known] = (input.links ?? []).filter(isOf)
  if (known === undefined) return []
  const better = (change: string, by: (link: PlanLink) => PlanLink): Trial => ({
    change,
    input: { ...input, links: (input.links ?? []).map((link) => (isOf(link) ? by(link) : link)) },
  })
  const trialsOf: Trial[] = []
  if (known.bandwidth > 0) {
    const bandwidth = 10 * known.bandwidth
    trialsOf.push(better(`${bitsText(bandwidth)} link between ${one} and ${other}`, (link) => ({ ...link, bandwidth })))
  }
  if (known.rtt > 0) {
    const rtt = known.rtt / 2
    const text = `a round trip of ${rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)} ms between ${one} and ${other}`
    trialsOf.push(better(text, (link) => ({ ...link, rtt })))
  }
  return trialsOf
}

function bitsText(bytesPerSecond: number): string {
  const bits = bytesPerSecond * 8
  const [value, unit] =
    bits >= 1e9 ? [bits / 1e9, 'Gbit/s'] : bits >= 1e6 ? [bits / 1e6, 'Mbit/s'] : [bits / 1e3, 'kbit/s']
  const amount = String(value >= 10 ? Math.round(value) : Number(value.toFixed(1)))
  return `${/^(?:8|11$|18$)/.test(amount) ? 'an' : 'a'} ${amount} ${unit}`
}

function sizeText(bytes: number): string {
  return bytes >= 1e9 ? `${Number((bytes / 1e9).toFixed(1))} GB` : `${Math.round(bytes / 1e6)} MB`
}
