/**
 * The planner: contiguous ranges of decoder blocks over peers, by what they and their links take; embedding and head stay
 * with the origin, so that nobody else is handed token ids (DESIGN decision 6).
 */
import { figuresOf } from './cost.ts'
import type { Figures } from './cost.ts'
import { explainFit, explainNoFit } from './explain.ts'
import { PlanInputError } from './errors.ts'
import { stepOf } from './guessing.ts'
import { checkPlanInput } from './input.ts'
import { bestChain } from './objectives.ts'
import { predict } from './predict.ts'
import { decodeMode, questionOf } from './question.ts'
import { replicasOf } from './replicas.ts'
import { withRepeats } from './search/with-repeats.ts'
import { shareOut } from './share-out.ts'
import { ORIGIN } from './types.ts'
import type { PeerShare, Plan, PlanInput, Prediction, Stage } from './types.ts'

/** @throws PlanInputError */
export function planPlacement(listed: PlanInput): Plan {
  checkPlanInput(listed)
  const input = byId(listed)
  const figures = figuresOf(input)
  const { ends } = figures
  const needBytes = figures.need(0, figures.count) + ends.weights + ends.kv
  const haveBytes = input.peers.reduce((total, peer) => total + Math.max(0, peer.memory - peer.reserved), 0)
  const parts = findParts(input, figures, new Set())
  if (parts === undefined) {
    const why = explainNoFit(input, figures, needBytes, haveBytes, (smaller) => fits(smaller))
    const nothing = { stages: [], perPeer: [], msPerToken: null, replicas: [], prediction: null }
    return { verdict: 'no-fit', ...nothing, why, needBytes, haveBytes }
  }
  const prediction = predict(input, figures, parts)
  return {
    verdict: parts.length > 1 ? 'split' : 'do-not-split',
    stages: stagesOf(input, figures, parts),
    perPeer: sharesOf(input, figures, parts),
    why: explainFit(input, figures, parts),
    needBytes,
    haveBytes,
    msPerToken: figures.measured ? prediction.msPerToken : null,
    replicas: replicasOf(input, figures, parts).map((stage) => inModel(stage, figures)),
    prediction,
  }
}

/** Sums of fractions depend on their order. */
function byId(input: PlanInput): PlanInput {
  return { ...input, peers: [...input.peers].sort((left, right) => (left.id < right.id ? -1 : 1)) }
}

export interface Candidate {
  readonly stages: readonly Stage[]
  readonly prediction: Prediction
}

/** The best placement in which these peers hold no decoder block, and no more than that; undefined when nothing fits. */
export function candidate(listed: PlanInput, excluded: ReadonlySet<string> = new Set()): Candidate | undefined {
  const input = byId(listed)
  const figures = figuresOf(input)
  const parts = findParts(input, figures, excluded)
  if (parts === undefined) return undefined
  return { stages: stagesOf(input, figures, parts), prediction: predict(input, figures, parts) }
}

/**
 * The soonest next token with stages from this order of peers and no other: some may be left out, and one may stand in it
 * more than once. Exact. Undefined when nothing fits. @throws PlanInputError
 */
export function planInOrder(listed: PlanInput, order: readonly string[]): Candidate | undefined {
  checkPlanInput(listed)
  const input = byId(listed)
  const figures = figuresOf(input)
  const question = questionOf(input, figures, { only: new Set(order) })
  const places = order.map((id) => {
    const place = question.peers.findIndex((peer) => peer.id === id)
    if (place < 0) throw new PlanInputError('order', `names ${id}, which is not among the peers`)
    return place
  })
  if (figures.room(question.peers[question.origin]!) < 0) return undefined
  const chain = withRepeats(decodeMode(question, stepOf(input).rows).problem, places)
  const parts = chain?.stages.map(({ peer, from, to }) => ({ peer: question.peers[peer]!.id, from, to }))
  if (parts === undefined) return undefined
  return { stages: stagesOf(input, figures, parts), prediction: predict(input, figures, parts) }
}

/** What this placement of all blocks is predicted to do. The ends must stand on the origin. */
export function predictStages(listed: PlanInput, stages: readonly Stage[]): Prediction {
  const input = byId(listed)
  const figures = figuresOf(input)
  const inner = stages.filter(({ from, to }) => from >= figures.first && to <= figures.first + figures.count)
  const parts = inner.map(({ peer, from, to }) => ({
    peer: peer === ORIGIN ? input.origin : peer,
    from: from - figures.first,
    to: to - figures.first,
  }))
  return predict(input, figures, parts)
}

/** The less the better: milliseconds of a token, of the first token, or a token of all sessions. */
export function valueOf(objective: PlanInput['objective'], prediction: Prediction): number {
  if (objective === 'first-token') return prediction.firstTokenMs
  return objective === 'throughput' ? 1000 / prediction.tokensPerSecond : prediction.msPerToken
}

function fits(input: PlanInput): boolean {
  return findParts({ ...input, objective: 'latency' }, figuresOf(input), new Set()) !== undefined
}

/** Ranges of decoder blocks, counted from the first of them. */
function findParts(input: PlanInput, figures: Figures, excluded: ReadonlySet<string>): readonly Stage[] | undefined {
  const origin = input.peers.find((peer) => peer.id === input.origin)!
  if (figures.room(origin) < 0) return undefined
  if (figures.count === 0) return []
  const peers = input.peers.filter(({ id }) => !excluded.has(id))
  // Total room below the need: no order helps, and trying them would be waste.
  const room = peers.reduce((total, peer) => total + Math.max(0, figures.room(peer)), 0)
  if (room < figures.need(0, figures.count)) return undefined
  if (input.objective === 'memory' || input.objective === 'spread') return shareOut({ ...input, peers }, figures)
  const question = questionOf(input, figures, { excluded })
  return bestChain(question)?.stages.map(({ peer, from, to }) => ({ peer: question.peers[peer]!.id, from, to }))
}

function inModel({ peer, from, to }: Stage, { first }: Figures): Stage {
  return { peer, from: first + from, to: first + to }
}

function stagesOf(input: PlanInput, figures: Figures, parts: readonly Stage[]): Stage[] {
  const { first, count } = figures
  const end = first + count
  if (count === 0) return [{ peer: ORIGIN, from: 0, to: input.blocks.length }]
  const stages = parts.map((part) => inModel(part, figures))
  if (first > 0) stages.unshift({ peer: ORIGIN, from: 0, to: first })
  if (end < input.blocks.length) stages.push({ peer: ORIGIN, from: end, to: input.blocks.length })
  return stages
}

function sharesOf(input: PlanInput, figures: Figures, parts: readonly Stage[]): PeerShare[] {
  const ends = input.blocks.length - figures.count
  const shares = new Map<string, PeerShare>()
  if (ends > 0) {
    const { weights, kv } = figures.ends
    shares.set(input.origin, { peer: input.origin, blocks: ends, bytes: weights, kvBytes: kv })
  }
  for (const { peer, from, to } of parts) {
    const before = shares.get(peer) ?? { peer, blocks: 0, bytes: 0, kvBytes: 0 }
    const bytes = figures.weights(from, to)
    shares.set(peer, {
      peer,
      blocks: before.blocks + to - from,
      bytes: before.bytes + bytes,
      kvBytes: before.kvBytes + figures.need(from, to) - bytes,
    })
  }
  return [...shares.values()]
}
