/** What a placement is predicted to do, and what that is made of. */
import { batchSizes, firstTokenMs, prefillOf, sessionsOf, tokenInterval } from './objectives.ts'
import type { Figures } from './cost.ts'
import { stepOf } from './guessing.ts'
import { bottleneckOf, decodeMode, questionOf, ringMs } from './question.ts'
import type { Question } from './question.ts'
import type { Chain } from './search/problem.ts'
import type { PlanBlock, PlanInput, PlanTerm, Prediction, Stage } from './types.ts'

/** `parts`: the decoder blocks, counted from the first of them; every peer by its id. */
export function predict(input: PlanInput, figures: Figures, parts: readonly Stage[]): Prediction {
  const question = questionOf(input, figures, { only: new Set(parts.map(({ peer }) => peer)) })
  const places = new Map(question.peers.map(({ id }, place) => [id, place]))
  const chain = { stages: parts.map(({ peer, from, to }) => ({ peer: places.get(peer)!, from, to })) }
  const prefill = prefillOf(question)
  const terms = termsOf(question, chain)
  return {
    msPerToken: terms.reduce((sum, { ms }) => sum + ms, 0),
    firstTokenMs: firstTokenMs(question, prefill, chain),
    promptTokens: question.figures.promptTokens,
    ...throughputOf(question, chain),
    terms,
  }
}

type Throughput = Pick<Prediction, 'tokensPerSecond' | 'sessions' | 'batchRows' | 'bottleneck'>

/** Rows gather where they wait, so batches grow until the ring, not the slowest stage, is what sessions wait for. */
function throughputOf(question: Question, chain: Pick<Chain, 'stages'>): Throughput {
  const sessions = sessionsOf(question)
  let [interval, batchRows] = [Infinity, 1]
  for (const rows of batchSizes(sessions)) {
    const next = tokenInterval(question, decodeMode(question, rows), chain)
    if (next < interval) [interval, batchRows] = [next, rows]
  }
  const mode = decodeMode(question, batchRows)
  const worst = bottleneckOf(question, mode, chain)
  const isRing = worst.ms / batchRows < ringMs(question, mode, chain) / sessions
  const { peers } = question
  const peer = peers[worst.peer]!.id
  return {
    tokensPerSecond: interval > 0 ? 1000 / interval : 0,
    sessions,
    batchRows,
    bottleneck: isRing
      ? { kind: 'ring' }
      : worst.to === undefined
        ? { kind: 'peer', peer }
        : { kind: 'link', peer, to: peers[worst.to]!.id },
  }
}

function termsOf(question: Question, { stages }: Pick<Chain, 'stages'>): PlanTerm[] {
  const { figures, peers, origin, decoders, ends, input } = question
  const { rows, tokens } = stepOf(input)
  const terms: PlanTerm[] = []
  let at = origin
  const hop = (to: number, block: number): void => {
    if (at === to) return
    const { fixed, perByte, measured } = figures.links.hop(peers[at]!.id, peers[to]!.id)
    const wire = perByte * figures.boundary(block) * rows
    const bound = wire > fixed ? 'bandwidth' : 'latency'
    const ms = (fixed + wire) / tokens
    terms.push({ kind: 'hop', peer: peers[at]!.id, to: peers[to]!.id, ms, bound, measured })
    at = to
  }
  if (ends.length > 0) terms.push({ kind: 'compute', peer: input.origin, ...computing(question, origin, ends) })
  for (const { peer, from, to } of stages) {
    hop(peer, from)
    const blocks = [figures.first + from, figures.first + to] as const
    const work = computing(question, peer, decoders.slice(from, to))
    terms.push({ kind: 'compute', peer: peers[peer]!.id, blocks, ...work })
  }
  hop(origin, decoders.length)
  return terms
}

function computing(
  { figures, input, peers }: Question,
  place: number,
  blocks: readonly PlanBlock[],
): Pick<PlanTerm, 'ms' | 'bound' | 'measured'> {
  const peer = peers[place]!
  const { rows, tokens } = stepOf(input)
  const share = rows === 1 ? 1 : figures.batch(peer, rows) / tokens
  const ms = blocks.reduce((sum, block) => sum + figures.blockMs(peer, block), 0) * share
  const memory = blocks.some((block) => figures.memoryBound(peer, block))
  return { ms, bound: memory ? 'memory' : 'compute', measured: figures.isMeasured(peer) }
}
