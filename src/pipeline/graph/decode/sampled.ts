/**
 * What comes of logits where they are made: a token, in place of a row of the vocabulary. As a tensor of float64 under
 * the name of the logits: milliseconds that the run took, id, then where it was asked for its log-probability, and pairs
 * of the likeliest.
 */
import type { AnyTensor } from '../../../onnx/index.ts'
import { NotFiniteError } from '../../host/errors.ts'
import type { Sampled, Sampler } from '../../host/sampler.ts'
import { GraphSessionError } from '../errors.ts'

/** Rows of a prompt that were taken in, and nothing is to follow them. */
export const NOTHING: AnyTensor = { type: 'float64', dims: [0], data: new Float64Array(0) }

/** @param logits [1, rows, vocabulary] or [1, vocabulary]; the last row counts. @throws NotFiniteError, GraphSessionError */
export function sampleLast(sampler: Sampler, logits: AnyTensor, position: number, runMs: number): AnyTensor {
  const row = lastRow(logits)
  const sampled = sampler.sample(row, position)
  if (!Number.isFinite(row[sampled.id])) throw new NotFiniteError(`the logits at position ${position}`)
  return encodeSampled(sampled, runMs)
}

function lastRow({ type, dims, data }: AnyTensor): Float32Array {
  const width = dims.at(-1) ?? 0
  if (width === 0 || data.length < width) throw new GraphSessionError(`the logits have shape [${dims.join(', ')}]`)
  if (type === 'float32') return (data as Float32Array).subarray(data.length - width)
  if (type === 'float16') return Float32Array.from((data as Uint16Array).subarray(data.length - width), halfToFloat)
  throw new GraphSessionError(`the logits are ${type}`)
}

/** The host of a graph does without the room of models, which has a table for this, and starts faster so. */
function halfToFloat(bits: number): number {
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  const sign = bits >= 0x8000 ? -1 : 1
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function encodeSampled({ id, logprob, top = [] }: Sampled, runMs: number): AnyTensor {
  const values = [
    runMs,
    id,
    ...(logprob === undefined ? [] : [logprob, ...top.flatMap((each) => [each.id, each.logprob])]),
  ]
  return { type: 'float64', dims: [values.length], data: Float64Array.from(values) }
}

export interface SampledStep extends Sampled {
  readonly runMs: number
}

/** Null: nothing followed. @throws GraphSessionError: it comes from another peer */
export function decodeSampled({ type, data }: AnyTensor): SampledStep | null {
  if (type !== 'float64') throw new GraphSessionError(`a token came as ${type}`)
  const [runMs, ...values] = data as Float64Array
  if (runMs === undefined) return null
  const [id = -1, logprob] = values
  const top = Array.from({ length: Math.max(0, Math.ceil((values.length - 2) / 2)) }, (_, at) => ({
    id: values[2 + 2 * at]!,
    logprob: values[3 + 2 * at] ?? Number.NaN,
  }))
  const ids = [id, ...top.map((pair) => pair.id)]
  if (!(runMs >= 0) || !ids.every((each) => Number.isInteger(each) && each >= 0 && each < 2 ** 31)) {
    throw new GraphSessionError('a token came that is none')
  }
  return logprob === undefined ? { runMs, id } : { runMs, id, logprob, top }
}
