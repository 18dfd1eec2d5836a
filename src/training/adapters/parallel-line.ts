/**
 * Data-parallel steps: several lines of blocks compute the same step, each on its share of the micro-batches, and their
 * gradients are added up in step. Which share a micro-batch belongs to follows from its number alone, and shares are added in their order,
 * so the sum has the same bits whichever line computes a share: one that fails loses its share of the step to another, and
 * comes back, where it can, with the next step. Gradients that are rounded are the exception: what a line has left of its own goes into
 * what it tells next, so a share that another computes has other bits.
 */
import type { Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'
import type { AdapterLine, LineResult, LineStep, MicroBatch } from './line.ts'
import type { GradientForm } from './rounding.ts'

export interface ParallelNeeds {
  /** As the lines tell their gradients. */
  readonly gradients: GradientForm
  /** A line could not compute its share, which another has computed. */
  lost(line: number, error: unknown): void
}

interface Share {
  /** Places of its micro-batches in the step. */
  readonly places: readonly number[]
  readonly batches: readonly MicroBatch[]
}

/** @param lines at least one */
export function parallelLine(lines: readonly AdapterLine[], needs: ParallelNeeds): AdapterLine {
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
        needs.lost(index, outcome.reason)
        results.push(await compute(able[index % able.length]!, shares[index]!))
      }
    }
    return results
  }

  return {
    async step(step, signal) {
      const own = sharesOf(step.batches)
      const shares =
        needs.gradients === 'int8' && step.whole === true ? [...own, ...emptyShares(step, lines, own)] : own
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

/**
 * A short step that tells all, for the lines that have no share of it: rows that count for nothing, whose gradient is what was left
 * there. Without it a checkpoint would follow that does not have it.
 */
function emptyShares({ batches }: LineStep, lines: readonly AdapterLine[], own: readonly Share[]): Share[] {
  const { rows, targets } = batches[0]!
  const nothing = { rows, targets: new Int32Array(targets.length).fill(-1) }
  return lines.slice(own.length).map(() => ({ places: [], batches: [nothing] }))
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
