/**
 * Chooses a token from logits. Order, as in Hugging Face's processors: repetition penalty (Keskar et al., arXiv
 * 1909.05858), presence, frequency and bias (OpenAI), the answer's format, temperature, top-k, top-p (arXiv 1904.09751), min-p (arXiv 2407.01082).
 * The random number of a position comes from seed and position alone, so a replay draws the same.
 */
import type { AnswerFormat, SamplingOptions, TokenLogprob } from '../types.ts'
import { FormatUnsupportedError } from './grammar/errors.ts'
import type { GrammarMask } from './grammar/mask.ts'
import { unpackIds } from './token-ids.ts'
import type { TokenIds } from './token-ids.ts'

export interface Sampled {
  readonly id: number
  readonly logprob?: number
  readonly top?: readonly TokenLogprob[]
  /** Of a guess: its logit less the largest of the others. */
  readonly lead?: number
}

export interface Sampler {
  /** @param logits [vocabulary]; not changed. */
  sample(logits: Float32Array, position: number): Sampled
  /** Before each sample: what the choice waits for is there. @throws AnswerFormatError */
  ready?(): Promise<void>
  /** These rows are to be computed. Where it is there, what was chosen before counts for nothing. */
  given?(ids: Int32Array, position: number): void
  close?(): void
}

export interface SamplerInit {
  readonly sampling: SamplingOptions
  /** Alternatives to report; -1: none, and no log-probability either. */
  readonly logprobs: number
  /** The prompt's tokens, each once, when a repetition penalty needs them. */
  readonly history: TokenIds
  /** Tokens that a head before this one has chosen for the same text. @default none */
  readonly generated?: TokenIds
  /** @default any text */
  readonly format?: AnswerFormat | undefined
  /** Tokens that are not chosen but given, whatever the logits say: of a prompt whose likelihood is wanted. @default none */
  readonly forced?: ForcedTokens | undefined
}

export interface ForcedTokens {
  /** Position of the first. */
  readonly from: number
  readonly ids: TokenIds
}

/** @param mask of the answer's format. @throws FormatUnsupportedError where there is a format and no mask */
export function createSampler(init: SamplerInit, mask?: GrammarMask): Sampler {
  const { sampling } = init
  if (init.format !== undefined && mask === undefined) throw new FormatUnsupportedError('whoever computes it cannot')
  const seen = new Set(unpackIds(init.history))
  const generated = new Map<number, number>()
  const chosen = (id: number): void => {
    seen.add(id)
    generated.set(id, (generated.get(id) ?? 0) + 1)
  }
  for (const id of unpackIds(init.generated ?? [])) chosen(id)
  const forced = unpackIds(init.forced?.ids ?? [])
  const likely = (logits: Float32Array, id: number): Sampled => {
    if (init.logprobs < 0) return { id }
    const total = logSumExp(logits)
    const top = largest(logits, init.logprobs).map((token) => ({ id: token, logprob: logits[token]! - total }))
    return { id, logprob: logits[id]! - total, top }
  }
  return {
    ...(mask === undefined ? {} : { ready: () => mask.ready(), close: () => mask.close() }),
    sample(logits, position) {
      const given = init.forced && forced[position - init.forced.from]
      if (given !== undefined) return likely(logits, given)
      const penalized = penalize(logits, sampling, seen, generated)
      const allowed = mask?.apply(penalized) ?? penalized
      const id =
        sampling.temperature === 0 ? argmax(allowed) : draw(allowed, sampling, uniform(sampling.seed, position))
      mask?.accept(id)
      chosen(id)
      return likely(logits, id)
    },
  }
}

function penalize(
  logits: Float32Array,
  sampling: SamplingOptions,
  seen: ReadonlySet<number>,
  generated: ReadonlyMap<number, number>,
): Float32Array {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias = [] } = sampling
  const isPlain = repetitionPenalty === 1 && presencePenalty === 0 && frequencyPenalty === 0
  if (isPlain && logitBias.length === 0) return logits
  const out = logits.slice()
  if (repetitionPenalty !== 1) {
    for (const id of seen) out[id] = out[id]! > 0 ? out[id]! / repetitionPenalty : out[id]! * repetitionPenalty
  }
  for (const [id, count] of generated) out[id] = out[id]! - presencePenalty - frequencyPenalty * count
  for (const [id, bias] of logitBias) if (id < out.length) out[id] = out[id]! + bias
  return out
}

/** The first of the largest. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  return best
}

/** ln of the sum of exponentials, in float64. */
export function logSumExp(logits: Float32Array): number {
  let max = -Infinity
  for (const value of logits) if (value > max) max = value
  let sum = 0
  for (const value of logits) sum += Math.exp(value - max)
  return max + Math.log(sum)
}

/** The `count` largest, falling; equal ones by rising id. */
export function largest(logits: Float32Array, count: number): number[] {
  const top: number[] = []
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id]!
    if (top.length === count && (count === 0 || value <= logits[top[count - 1]!]!)) continue
    let place = top.length
    while (place > 0 && logits[top[place - 1]!]! < value) place--
    top.splice(place, 0, id)
    if (top.length > count) top.pop()
  }
  return top
}

function draw(logits: Float32Array, sampling: SamplingOptions, random: number): number {
  const { temperature, topK, topP, minP } = sampling
  let max = -Infinity
  for (const value of logits) if (value > max) max = value
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id]! - max) / temperature)
  let candidates: readonly number[] | undefined
  if (topK > 0 && topK < logits.length) candidates = largest(logits, topK)
  if (topP < 1) candidates = nucleus(weights, candidates, topP)
  if (minP > 0) candidates = (candidates ?? allIds(logits.length)).filter((id) => weights[id]! >= minP)
  return pick(weights, candidates ?? allIds(logits.length), random)
}

function allIds(count: number): number[] {
  return Array.from({ length: count }, (_, id) => id)
}

/** The smallest set of the likeliest whose share reaches `topP`. */
function nucleus(weights: Float64Array, among: readonly number[] | undefined, topP: number): number[] {
  const ids = among ?? allIds(weights.length)
  const total = ids.reduce((sum, id) => sum + weights[id]!, 0)
  // All those below this floor together weigh less than what may be left out, so none of them is needed.
  const floor = ((1 - topP) * total) / ids.length
  const sorted = ids.filter((id) => weights[id]! >= floor).sort((a, b) => weights[b]! - weights[a]! || a - b)
  let sum = 0
  const end = sorted.findIndex((id) => (sum += weights[id]!) >= topP * total)
  return end < 0 ? sorted : sorted.slice(0, end + 1)
}

function pick(weights: Float64Array, ids: readonly number[], random: number): number {
  let total = 0
  for (const id of ids) total += weights[id]!
  let left = random * total
  for (const id of ids) {
    left -= weights[id]!
    if (left < 0) return id
  }
  return ids.at(-1)!
}

/** A number in [0, 1) out of seed and position: two rounds of the 64-bit finaliser of MurmurHash3 in 32-bit halves. */
export function uniform(seed: number, position: number): number {
  const high = mix(mix(Math.trunc(seed / 4294967296) ^ 0x9e3779b9) ^ mix(seed >>> 0) ^ mix(position + 0x7f4a7c15))
  const low = mix(high ^ mix(position ^ 0x85ebca6b) ^ (seed >>> 0))
  return ((high >>> 5) * 67108864 + (low >>> 6)) / 9007199254740992
}

function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
