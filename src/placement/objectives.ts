/** What is asked for, as searches for the cheapest chain: once, or again and again under a limit. */
import { chunkRows } from './chunks.ts'
import { stepOf } from './guessing.ts'
import { bottleneckOf, decodeMode, prefillMode, ringMs } from './question.ts'
import type { Mode, Question } from './question.ts'
import { minimise } from './search/minimise.ts'
import type { Effort } from './search/minimise.ts'
import { bounded } from './search/problem.ts'
import type { Chain } from './search/problem.ts'

/** A limit is narrowed down to this ratio of its two sides. */
const CLOSE = 1.001
const MAX_HALVINGS = 10
/** Another batch size must promise so much more to be looked at. */
const WORTH_LOOKING = 0.998
/** Limits that are tried for the slowest stage of a prefill. */
const MAX_LIMITS = 64
const FEW_LIMITS = 16
/** From one limit to the next where there are too many to try. */
const LIMIT_STEP = 0.85
/** Limits about that of the best, which lie between those that were tried. */
const NEARBY: readonly number[] = [1.08, 0.96, 0.92, 0.96]
const FEW_PEERS = 7
/** Work of a search is about the square of the peers times this. */
const SHAKE_BUDGET = 120_000
const MAX_SHAKES = 40

/** Undefined when nothing fits. */
export function bestChain(question: Question): Chain | undefined {
  const { objective } = question.input
  if (objective === 'throughput') return mostTokens(question)
  if (objective === 'first-token') return soonestFirst(question)
  const { problem } = decodeMode(question, stepOf(question.input).rows)
  return minimise(problem, { shakes: shakesFor(question) })
}

/** As many as the milliseconds allow that a plan may take; counted, not timed, so that a plan is the same everywhere. */
function shakesFor({ peers }: Question): number {
  return Math.max(2, Math.min(MAX_SHAKES, Math.round(SHAKE_BUDGET / peers.length ** 2)))
}

/** Milliseconds a token, all sessions together, in batches of `mode.rows`. */
export function tokenInterval(question: Question, mode: Mode, chain: Pick<Chain, 'stages'>): number {
  const sessions = sessionsOf(question)
  return Math.max(ringMs(question, mode, chain) / sessions, bottleneckOf(question, mode, chain).ms / mode.rows)
}

export function sessionsOf({ input }: Pick<Question, 'input'>): number {
  return Math.max(1, input.concurrency)
}

/** Sizes that a batch is thought to have: powers of two, and all sessions at once. */
export function batchSizes(sessions: number): number[] {
  const sizes: number[] = []
  for (let rows = 1; rows < sessions; rows *= 2) sizes.push(rows)
  return [...sizes, sessions]
}

/**
 * With a limit v for the milliseconds a token: no peer and no line may be busy for longer than v a row, and the ring may
 * take v a session. The least v for which the cheapest chain under the first limit keeps the second.
 */
function mostTokens(question: Question): Chain | undefined {
  const sessions = sessionsOf(question)
  const shakes = shakesFor(question)
  const attempt = (mode: Mode, limit: number, effort: Effort): Serving | undefined => {
    const tight = limit === Infinity ? mode.problem : boundedMode(question, mode, limit * mode.rows)
    const chain = minimise(tight, effort)
    return chain === undefined ? undefined : { mode, chain, interval: tokenInterval(question, mode, chain) }
  }
  let best: Serving | undefined
  let least = 0
  for (const rows of batchSizes(sessions)) {
    const mode = decodeMode(question, rows)
    const goal = best === undefined ? Infinity : best.interval * WORTH_LOOKING
    const effort = best === undefined ? { shakes } : { shakes: 0, warm: peersOf(best.chain) }
    const first = attempt(mode, goal, effort)
    if (first === undefined || first.interval > goal) continue
    best = first
    // Under a tighter limit the way round is no shorter.
    least = Math.max(leastInterval(mode), ringMs(question, mode, first.chain) / sessions)
    let low = least
    for (let halving = 0; halving < MAX_HALVINGS && best.interval > low * CLOSE; halving++) {
      const middle = Math.sqrt(low * best.interval)
      const next = attempt(mode, middle, { shakes: 0, warm: peersOf(best.chain) })
      if (next !== undefined && next.interval < best.interval) best = next
      if (next === undefined || next.interval > middle) low = middle
    }
  }
  if (best === undefined || best.interval <= least * CLOSE) return best?.chain
  const last = attempt(best.mode, best.interval * WORTH_LOOKING, { shakes })
  return last !== undefined && last.interval < best.interval ? last.chain : best.chain
}

interface Serving {
  readonly mode: Mode
  readonly chain: Chain
  readonly interval: number
}

function boundedMode({ ground }: Question, { problem, rows, base }: Mode, limit: number): Mode['problem'] {
  return bounded(problem, ground, rows, base, limit)
}

/** No chain is faster: all peers share the work without a break. */
function leastInterval({ problem, rows }: Mode): number {
  const { peers, blocks, spent } = problem
  let perMs = 0
  for (let peer = 0; peer < peers; peer++) perMs += 1 / (spent[peer * (blocks + 1) + blocks]! || 1e-9)
  return Math.max(1e-9, 1 / perMs / rows)
}

export interface Prefill {
  readonly mode: Mode
  readonly chunks: number
  /** Of the head, for the last row. */
  readonly headMs: number
}

export function prefillOf(question: Question): Prefill {
  const { figures, ends, peers, origin } = question
  const rows = Math.min(figures.promptTokens, chunkRows(figures.promptTokens))
  const chunks = Math.ceil(figures.promptTokens / rows)
  const heads = ends.filter(({ kind }) => kind === 'head')
  const headMs = heads.reduce((sum, block) => sum + figures.blockMs(peers[origin]!, block), 0)
  return { mode: prefillMode(question, rows), chunks, headMs }
}

/** The first chunk goes round; every further one follows after the slowest part of the ring. */
export function firstTokenMs(question: Question, prefill: Prefill, chain: Pick<Chain, 'stages'>): number {
  const { mode, chunks, headMs } = prefill
  return ringMs(question, mode, chain) + (chunks - 1) * bottleneckOf(question, mode, chain).ms + headMs
}

/**
 * The cheapest chain under each limit for the slowest part, from none downwards: the best lies on that line. What can only
 * be worse is skipped: a tighter limit makes the way round no shorter.
 */
function soonestFirst(question: Question): Chain | undefined {
  const prefill = prefillOf(question)
  const { mode, chunks } = prefill
  const few = question.peers.length <= FEW_PEERS
  const shakes = shakesFor(question)
  let best: Found | undefined
  const attempt = (limit: number, effort: Effort): Found | undefined => {
    const problem = limit === Infinity ? mode.problem : boundedMode(question, mode, limit)
    const chain = minimise(problem, effort)
    if (chain === undefined) return undefined
    const ms = firstTokenMs(question, prefill, chain)
    const found = { chain, ms, slowest: bottleneckOf(question, mode, chain).ms }
    if (best === undefined || ms < best.ms) best = found
    return found
  }
  const floor = leastInterval(mode) * mode.rows
  let found = attempt(Infinity, { shakes })
  if (chunks === 1) return found?.chain
  for (let tries = 1; tries < (few ? MAX_LIMITS : FEW_LIMITS) && found !== undefined; tries++) {
    const { ms, slowest, chain } = found
    const wayRound = ms - (chunks - 1) * slowest
    const useful = Math.min(slowest, (best!.ms - wayRound) / (chunks - 1)) * (1 - 1e-9)
    const next = few ? useful : slowest * LIMIT_STEP
    if (next < floor) break
    found = attempt(next, { shakes: 0, warm: peersOf(chain) })
  }
  if (few || best === undefined) return best?.chain
  for (const factor of NEARBY) attempt(best.slowest * factor, { shakes: 0, warm: peersOf(best.chain) })
  attempt(best.slowest * (1 + 1e-9), { shakes })
  return best.chain
}

interface Found {
  readonly chain: Chain
  readonly ms: number
  readonly slowest: number
}

function peersOf({ stages }: Chain): number[] {
  return stages.map(({ peer }) => peer)
}
