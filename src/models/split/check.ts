/** Runs a model whole and as a chain of partitions over the same tokens, and compares every output bit for bit. */
import { createHash } from 'node:crypto'
import type { Engine, Graph, Tensor } from '../../onnx/index.ts'
import type { PartitionValues } from '../llama/export.ts'
import { firstContext } from '../llama/rotary.ts'
import type { ModelManifest } from '../manifest.ts'
import { SplitDiffersError } from './errors.ts'
import type { SplitCheck } from './types.ts'

/** A prompt in two pieces and eight single tokens: many rows, few, one, each over a past. */
const RUNS = [24, 9, 1, 1, 1, 1, 1, 1, 1, 1] as const

export interface CheckedGraph extends PartitionValues {
  readonly path: string
}

export interface CheckNeeds {
  readonly engine: Engine
  readonly signal?: AbortSignal | undefined
  /** A run is done, of so many. */
  progress(done: number, total: number): void
}

type Values = Readonly<Record<string, Tensor>>

/** @throws SplitDiffersError for the first output that is not the same; EngineError */
export async function checkPartitions(
  needs: CheckNeeds,
  manifest: ModelManifest,
  whole: CheckedGraph,
  partitions: readonly CheckedGraph[],
): Promise<SplitCheck> {
  const runs = runsWithin(firstContext(manifest.shape))
  const total = runs.length * (1 + partitions.length)
  let done = 0
  const ran = (): void => needs.progress(++done, total)
  const expected: Map<string, string>[] = []
  await session(needs, whole, tokens(manifest, runs), (outputs) => {
    expected.push(new Map(Object.entries(outputs).map(([name, tensor]) => [name, digest(tensor)])))
    ran()
  })
  let compared = 0
  let boundary = tokens(manifest, runs)
  for (const partition of partitions) {
    const next: Values[] = []
    await session(needs, partition, boundary, (outputs, step) => {
      for (const [name, tensor] of Object.entries(outputs)) {
        const wanted = expected[step]!.get(name)
        if (wanted === undefined) continue
        if (wanted !== digest(tensor)) throw new SplitDiffersError(manifest.model, name, step)
        compared += tensor.data.length
      }
      const { name } = partition.outputs[0]!
      next.push({ [name]: outputs[name]! })
      ran()
    })
    boundary = next
  }
  return { equal: true, runs, compared, kernel: needs.engine.kernelId }
}

function runsWithin(context: number): number[] {
  let left = context
  return RUNS.map((rows) => Math.min(rows, left - (left -= Math.min(rows, left)))).filter((rows) => rows > 0)
}

/** Token ids that depend on the model alone, so that a check can be repeated. */
function tokens(manifest: ModelManifest, runs: readonly number[]): Values[] {
  let position = 0
  return runs.map((rows) => {
    const ids = Array.from({ length: rows }, () => {
      const hash = createHash('sha256').update(`${manifest.digest}/${position++}`).digest()
      return BigInt(hash.readUInt32LE(0) % manifest.shape.vocabulary)
    })
    return { input_ids: { type: 'int64', dims: [rows], data: BigInt64Array.from(ids) } }
  })
}

/** One session through one graph: a run a step, what is present becoming the next one's past. */
async function session(
  needs: CheckNeeds,
  checked: CheckedGraph,
  steps: readonly Values[],
  ran: (outputs: Values, step: number) => void,
): Promise<void> {
  const graph: Graph = await needs.engine.load(checked.path, { threads: 1 })
  try {
    const names = checked.outputs.map(({ name }) => name)
    let past = noPast(checked)
    for (const [step, inputs] of steps.entries()) {
      needs.signal?.throwIfAborted()
      const outputs = await graph.run({ ...inputs, ...past }, names)
      past = Object.fromEntries(
        Object.entries(outputs)
          .filter(([name]) => name.startsWith('present.'))
          .map(([name, tensor]) => [name.replace('present.', 'past.'), tensor]),
      )
      ran(outputs, step)
      // `run` blocks this thread: signals are seen in between.
      await new Promise(setImmediate)
    }
  } finally {
    await graph.release()
  }
}

function noPast({ inputs }: CheckedGraph): Values {
  const caches = inputs.filter(({ name }) => name.startsWith('past.'))
  return Object.fromEntries(
    caches.map(({ name, shape }): [string, Tensor] => {
      const dims = shape.map((dim) => (typeof dim === 'string' ? 0 : dim))
      return [name, { type: 'float32', dims, data: new Float32Array(0) }]
    }),
  )
}

function digest(tensor: Tensor): string {
  const { data, dims } = tensor
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return createHash('sha256').update(dims.join()).update(bytes).digest('hex')
}
