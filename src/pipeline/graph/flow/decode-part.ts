/** A part of a decoder in the flow of one request: what its steps have beside their tensors. */
import type { SamplerInit } from '../../host/sampler.ts'
import type { DecodeRun } from '../host/protocol.ts'

export interface DecodePart {
  /** Bytes that the state of the session may have here. */
  readonly most: number
  /** The part makes the logits. */
  readonly head: DecodeHead | null
}

export interface DecodeHead {
  readonly logits: string
  readonly sampler: SamplerInit
  /** The unit that ends the prompt: with it and with each that follows a token is chosen. */
  readonly first: number
  /** Of the first token: the length of the prompt. */
  readonly position: number
}

export function stepOf(part: DecodePart | undefined, unit: number): DecodeRun | undefined {
  if (part === undefined) return undefined
  const { most, head } = part
  if (head === null) return { most }
  const { logits, sampler, first, position } = head
  return {
    most,
    head: {
      logits,
      position: unit < first ? null : position + unit - first,
      sampler: unit === first ? sampler : null,
    },
  }
}
