/** What a graph host does beside a run of a decoder: tokens in place of logits, and a bound on what sessions keep. */
import type { AnyTensor } from '../../../onnx/index.ts'
import { KvFullError } from '../../host/errors.ts'
import { createSampler } from '../../host/sampler.ts'
import type { Sampler } from '../../host/sampler.ts'
import { NOTHING, sampleLast } from '../decode/sampled.ts'
import { GraphSessionError } from '../errors.ts'
import type { DecodeRun, RunGraph } from './protocol.ts'

type Results = Readonly<Record<string, AnyTensor>>

export class Decoding {
  readonly #samplers = new Map<number, Sampler>()

  /** Outputs to ask the engine for; logits of a prompt's first rows are megabytes that nobody reads. */
  wanted({ fetch, kept, decode }: RunGraph): readonly string[] {
    const head = decode?.head
    const all = [...new Set([...fetch, ...kept.map(([output]) => output)])]
    const needed = head === undefined || head.position !== null ? all : all.filter((name) => name !== head.logits)
    // The engine wants to be asked for something.
    return needed.length === 0 ? all : needed
  }

  /** The outputs that leave the host. @throws KvFullError, NotFiniteError, GraphSessionError */
  given({ session, fetch, kept, decode }: RunGraph, results: Results, runMs: number): Map<string, AnyTensor> {
    const outputs = new Map(fetch.map((name) => [name, results[name]!]))
    if (decode === undefined) return outputs
    const bytes = kept.reduce((sum, [output]) => sum + bytesOf(results[output]!), 0)
    if (bytes > decode.most) throw new KvFullError(bytes, decode.most)
    const { head } = decode
    if (head !== undefined) outputs.set(head.logits, this.#sampled(session, head, results, runMs))
    return outputs
  }

  close(session: number): void {
    this.#samplers.delete(session)
  }

  #sampled(session: number, head: NonNullable<DecodeRun['head']>, results: Results, runMs: number): AnyTensor {
    const { logits, position, sampler: init } = head
    if (position === null) return NOTHING
    if (init !== null) this.#samplers.set(session, createSampler(init))
    const sampler = this.#samplers.get(session)
    if (sampler === undefined) throw new GraphSessionError('the session has no sampler')
    return sampleLast(sampler, results[logits]!, position, runMs)
  }
}

function bytesOf({ type, data }: AnyTensor): number {
  return type === 'string' ? 0 : data.byteLength
}
