/** Why the plan is as it is, in sentences for people. */
import type { Figures } from './cost.ts'
import { usualOrder } from './order.ts'
import type { PlanInput, PlanUnit, Stage } from './types.ts'

const LEAST_CONTEXT = 128

/** So many peers that are left out are named; of more, how many. */
const MOST_NAMED = 4

export function explainFit(input: PlanInput, figures: Figures, parts: readonly Stage[]): string[] {
  const why: string[] = []
  const used = new Set(parts.map(({ peer }) => peer))
  const [only] = used
  if (only !== undefined && parts.length === 1) why.push(singleReason(input, figures, only))
  else if (parts.length > 1) why.push(splitReason(input, used.size))
  const others = usualOrder(input.peers, input.origin, figures).filter(({ id }) => !used.has(id))
  for (const peer of others.slice(0, MOST_NAMED)) {
    const room = figures.room(peer)
    why.push(
      room < smallest(figures)
        ? `${peer.id} is left out: ${Math.max(0, room)} bytes are free, the smallest block needs ${smallest(figures)}`
        : `${peer.id} is left out: the plan is better without it`,
    )
  }
  if (others.length > MOST_NAMED) why.push(`${others.length - MOST_NAMED} more peers are left out`)
  why.push(...explainShort(input))
  if (!figures.measured) why.push('some speeds are not measured yet: those peers count as average')
  return why
}

function singleReason({ objective, peers, unit }: PlanInput, figures: Figures, peer: string): string {
  if (peers.length === 1) return `${peer} is the only peer`
  const kind = unit === 'run' ? '' : 'decoder '
  if (figures.count === 1) return `there is one ${kind}block, and ${peer} holds it`
  if (objective === 'memory' || objective === 'spread') return `only ${peer} has room for a block`
  return `${peer} holds all ${figures.count} ${kind}blocks: with every further peer ${inUnits(WORSE[objective], unit)}`
}

const WORSE = {
  latency: 'a token would take longer',
  'first-token': 'the first token would take longer',
  throughput: 'there would be fewer tokens a second',
} as const

const BEST = {
  latency: 'the soonest next token',
  'first-token': 'the soonest first token',
  throughput: 'the most tokens a second',
} as const

/** A graph has runs where a language model has tokens. */
export function inUnits(text: string, unit: PlanUnit = 'token'): string {
  return unit === 'token' ? text : text.replace(/\btoken/g, unit)
}

function splitReason({ objective, unit }: PlanInput, peers: number): string {
  if (objective === 'spread') return `divided over ${peers} peers in proportion to their measured speed`
  if (objective === 'memory') return `divided over ${peers} peers in proportion to their free memory`
  return `${inUnits(BEST[objective], unit)}: ${peers} peers together, since fewer cannot hold the blocks or are slower`
}

function smallest(figures: Figures): number {
  const needs = Array.from({ length: figures.count }, (_, index) => figures.need(index, index + 1))
  return needs.reduce((least, need) => Math.min(least, need), Infinity)
}

/** Peers that are not believed. */
function explainShort({ peers }: PlanInput): string[] {
  return peers.flatMap(({ id, memory, toldMemory, blockMs, toldBlockMs }) => {
    const why = []
    if (toldMemory !== undefined)
      why.push(
        `${id} counts with ${memory} bytes, not the ${toldMemory} that it tells of: a stage of more came to nothing there`,
      )
    if (toldBlockMs !== undefined && blockMs !== undefined)
      why.push(
        `${id} counts with ${figure(blockMs)} ms a block, not the ${figure(toldBlockMs)} ms that it tells of: answers over it took so long`,
      )
    return why
  })
}

function figure(ms: number): string {
  return String(Number(ms.toPrecision(2)))
}

/** `fits` tells whether a smaller wish would be met. */
export function explainNoFit(
  input: PlanInput,
  figures: Figures,
  needBytes: number,
  haveBytes: number,
  fits: (input: PlanInput) => boolean,
): string[] {
  const why: string[] = []
  const origin = input.peers.find((peer) => peer.id === input.origin)!
  if (needBytes > haveBytes) why.push(`${Math.ceil(needBytes - haveBytes)} bytes are missing`)
  if (figures.room(origin) < 0) {
    why.push(`the origin ${origin.id} lacks ${-figures.room(origin)} bytes for embedding and head, which stay with it`)
  } else if (needBytes <= haveBytes) why.push('the free memory lies in pieces that no block fits into')
  for (let context = input.context >> 1; input.unit !== 'run' && context >= LEAST_CONTEXT; context >>= 1) {
    if (!fits({ ...input, context })) continue
    why.push(`a context of ${context} tokens would fit`)
    break
  }
  why.push(...explainShort(input))
  if (input.concurrency > 1 && fits({ ...input, concurrency: 1 })) why.push('one session at a time would fit')
  return why
}
