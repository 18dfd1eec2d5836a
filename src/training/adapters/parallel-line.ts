/**
 * Data-parallel steps: several lines of blocks compute the same step, each on its share of the micro-batches, and their
 * gradients are added up in step. Which share a micro-batch belongs to follows from its number alone, and shares are added in their order,
 * so the sum has the same bits whichever line computes a share: one that fails loses its share of the step to another, and
 * comes back, where it can, with the next step.
 */
import type { Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'
import type { AdapterLine, LineResult, LineStep, MicroBatch } from './line.ts'

export interface ParallelEvents {
  /** A line could not compute its share, which another has computed. */
  lost(line: number, error: unknown): void
}

interface Share {
  /** Places of its micro-batches in the step. */
  readonly places: readonly number[]
  readonly batches: readonly MicroBatch[]
}

/** @param lines at least one */
export function parallelLine(lines: readonly AdapterLine[], events: ParallelEvents): AdapterLine {
  const sharesOf = (batches: readonly MicroBatch[]): Share[] =>
    lines
      .map((_, index) => batches.flatMap((__, place) => (place % lines.length === index ? place : [])))
      .filter((places) => places.length > 0)
      .map((places) => ({ places, batches: places.map((place) => batches[place]!) }))

  /** Each share by its own line; what is left over then by those that could, one after the other. */
  const through = async <Result>(
    shares: readonly Share[],
    compute: (line: AdapterLine, share: Share) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result[]> => {
    const settled = await Promise.allSettled(shares.map((share, index) => compute(lines[index]!, share)))
    signal?.throwIfAborted()
    const able = lines.filter((_, index) => settled[index]?.status === 'fulfilled')
    const results: Result[] = []
    for (const [index, outcome] of settled.entries()) {
      if (outcome.status === 'fulfilled') results.push(outcome.value)
      else if (able.length === 0) throw outcome.reason
      else {
        events.lost(index, outcome.reason)
        results.push(await compute(able[index % able.length]!, shares[index]!))
      }
    }
    return results
  }

  return {
    async step(step, signal) {
      const shares = sharesOf(step.batches)
      const compute = (line: AdapterLine, { batches }: Share): Promise<LineResult> =>
        line.step({ ...step, batches }, signal)
      return joined(step, shares, await through(shares, compute, signal))
    },
    async loss(step, signal) {
      const compute = (line: AdapterLine, { batches }: Share): Promise<number> =>
        line.loss({ ...step, batches }, signal)
      return (await through(sharesOf(step.batches), compute, signal)).reduce((sum, loss) => sum + loss, 0)
    },
    async close() {
      for (const line of lines) await line.close()
    },
  }
}

function joined({ batches }: LineStep, shares: readonly Share[], results: readonly LineResult[]): LineResult {
  const inputs: Tensor[] = Array.from({ length: batches.length })
  for (const [index, { places }] of shares.entries()) {
    for (const [at, place] of places.entries()) inputs[place] = results[index]!.inputs[at]!
  }
  const [first, ...others] = results.map(({ gradients }) => gradients) as [Tensors, ...Tensors[]]
  const gradients = Object.entries(first).map(([name, tensor]): [string, Tensor] => {
    const sum = Float32Array.from(tensor.data as Float32Array)
    for (const other of others) {
      const own = other[name]!.data as Float32Array
      for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + own[at]!
    }
    return [name, { ...tensor, data: sum }]
  })
  return { loss: results.reduce((sum, { loss }) => sum + loss, 0), gradients: Object.fromEntries(gradients), inputs }
}
