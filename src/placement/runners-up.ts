/** The next best: placements over other sets of peers, and why they were not chosen. */
import { figuresOf } from './cost.ts'
import { inUnits } from './explain.ts'
import { candidate, valueOf } from './plan.ts'
import type { Candidate } from './plan.ts'
import type { Plan, PlanInput, PlanTerm, Prediction, Stage } from './types.ts'

const MOST_SHOWN = 3
/** Peers of the plan without which a plan is made, and peers that are tried alone. */
const MOST_LEFT_OUT = 8
const MOST_ALONE = 3
/** Nearer than this is no difference that a measurement would show. */
const A_TIE = 1.0005

export interface RunnerUp {
  readonly peers: readonly string[]
  readonly stages: readonly Stage[]
  readonly prediction: Prediction
  /** Of its objective's figure to the plan's: 1.2 is a fifth worse. */
  readonly factor: number
  /** A sentence for people. */
  readonly whyNot: string
}

/** The best first; no two over the same peers. Empty for a plan that fits nowhere. */
export function runnersUp(input: PlanInput, plan: Plan): RunnerUp[] {
  const { prediction } = plan
  if (prediction === null) return []
  const chosen = holdersOf(prediction)
  const known = new Set([keyOf(chosen)])
  const best = valueOf(input.objective, prediction)
  const found: RunnerUp[] = []
  for (const excluded of alternatives(input, chosen)) {
    const other = candidate(input, excluded)
    if (other === undefined) continue
    const peers = holdersOf(other.prediction)
    if (known.has(keyOf(peers))) continue
    known.add(keyOf(peers))
    const value = valueOf(input.objective, other.prediction)
    found.push({ peers, ...other, factor: value / best, whyNot: whyNot(input, prediction, other) })
  }
  found.sort((left, right) => left.factor - right.factor || (keyOf(left.peers) < keyOf(right.peers) ? -1 : 1))
  return found.slice(0, MOST_SHOWN)
}

/** Peers that hold decoder blocks, in the order of the ring. */
export function holdersOf({ terms }: Prediction): string[] {
  return [...new Set(terms.filter(({ blocks }) => blocks !== undefined).map(({ peer }) => peer))]
}

function keyOf(peers: readonly string[]): string {
  return JSON.stringify([...peers].sort())
}

/** Without each of the plan's peers; and with one peer alone, the fastest of those that can hold everything. */
function alternatives(input: PlanInput, chosen: readonly string[]): ReadonlySet<string>[] {
  const figures = figuresOf(input)
  const all = figures.need(0, figures.count)
  const alone = input.peers
    .filter((peer) => figures.room(peer) >= all)
    .map((peer) => ({ id: peer.id, ms: figures.partMs(peer, 0, figures.count) }))
    .sort((left, right) => left.ms - right.ms || (left.id < right.id ? -1 : 1))
    .slice(0, MOST_ALONE)
    .map(({ id }) => id)
  if (figures.room(input.peers.find(({ id }) => id === input.origin)!) >= all) alone.push(input.origin)
  const others = (id: string): ReadonlySet<string> =>
    new Set(input.peers.map((peer) => peer.id).filter((peer) => peer !== id))
  return [...chosen.slice(0, MOST_LEFT_OUT).map((id) => new Set([id])), ...[...new Set(alone)].map(others)]
}

function sumOf(terms: readonly PlanTerm[], kind: PlanTerm['kind']): number {
  return terms.filter((term) => term.kind === kind).reduce((sum, { ms }) => sum + ms, 0)
}

function whyNot(input: PlanInput, plan: Prediction, { prediction }: Candidate): string {
  if (valueOf(input.objective, prediction) < valueOf(input.objective, plan) * A_TIE) {
    return 'as good as the plan: of two that are equal one is taken'
  }
  if (input.objective === 'throughput') {
    const fewer = plan.tokensPerSecond - prediction.tokensPerSecond
    return inUnits(`${fewer.toFixed(1)} tokens/s fewer: ${bottleneckText(prediction)}`, input.unit)
  }
  if (input.objective === 'first-token') {
    const later = prediction.firstTokenMs - plan.firstTokenMs
    return inUnits(`the first token comes ${later.toFixed(1)} ms later: ${bottleneckText(prediction)}`, input.unit)
  }
  const work = sumOf(prediction.terms, 'compute') - sumOf(plan.terms, 'compute')
  const hops = sumOf(prediction.terms, 'hop') - sumOf(plan.terms, 'hop')
  const more = (ms: number, what: string): string => `${Math.abs(ms).toFixed(1)} ms ${ms < 0 ? 'less' : 'more'} ${what}`
  const all = work + hops
  const rest = `${more(work, 'of computing')}, ${more(hops, 'on the way')}`
  return `a ${input.unit ?? 'token'} takes ${Math.abs(all).toFixed(1)} ms ${all < 0 ? 'less' : 'more'}: ${rest}`
}

/** What all wait for, in words. */
export function bottleneckText({ bottleneck }: Prediction): string {
  const { kind, peer, to } = bottleneck
  if (kind === 'peer') return `${peer} is busy longest`
  return kind === 'link' ? `the line from ${peer} to ${to} is busy longest` : 'sessions wait for the way round the ring'
}
