/** Partitions as files in a folder, named as `weft split` names them. */
import { basename, join } from 'node:path'
import { writeModel } from '../ir/index.ts'
import type { Model, ValueInfo } from '../ir/index.ts'
import { assignParts } from './assign.ts'
import type { Part } from './assign.ts'
import type { Bindable } from './bindable.ts'
import type { Blocks } from './blocks.ts'
import type { CheckedModel } from './check.ts'
import type { CutFacts } from './types.ts'
import { partitionModel } from './partition.ts'
import type { Partition, PartitionOptions } from './partition.ts'
import type { PlannedPartition, PlannedValue } from './split-plan.ts'

export interface WriteWork {
  readonly blocks: Blocks
  readonly facts: CutFacts
  readonly out: string
  readonly signal?: AbortSignal | undefined
  /** For parts of which the engine's binding cannot pass an input or an output. */
  readonly bindable?: Bindable | null
}

export interface WrittenParts {
  readonly cuts: readonly number[]
  readonly partitions: readonly PlannedPartition[]
  /** As the check takes them. */
  readonly checked: readonly CheckedModel[]
  readonly files: readonly string[]
  /** Files that are there for the check alone. */
  readonly temporary: readonly string[]
  /** A value of float16 goes from one partition to another. */
  readonly hasHalf: boolean
}

/** As in partitions of language models: weights up to this size stay in the graph's own file. */
const INLINE_BYTES = 16 << 20

export async function writeParts(
  { blocks, facts, out, signal, bindable }: WriteWork,
  cuts: readonly number[],
  options: PartitionOptions,
  stem = 'partition',
): Promise<WrittenParts> {
  const parts = assignParts(blocks, facts, cuts)
  const models = partitionModel(blocks.structure, facts.types, parts, options)
  const digits = String(cuts.length).length
  const partitions: PlannedPartition[] = []
  const checked: CheckedModel[] = []
  const files: string[] = []
  const temporary: string[] = []
  for (const [index, partition] of models.entries()) {
    signal?.throwIfAborted()
    const file = `${stem}-${String(index).padStart(digits, '0')}.onnx`
    const written = await writeModel(partition.model, join(out, file), { inlineMost: INLINE_BYTES })
    const names = written.files.map((each) => basename(each.path))
    const data = names.find((name) => name !== file)
    files.push(...names)
    if (bindable?.concerns(partition.model.graph) === true) {
      const bound = bindable.apply(partition.model)
      const path = join(out, `bound-${file}`)
      const extra = await writeModel(bound, path, { inlineMost: INLINE_BYTES })
      temporary.push(...extra.files.map((each) => basename(each.path)))
      checked.push(checkedModel(path, feedsOf(bound), bound.graph.outputs))
    } else checked.push(checkedModel(join(out, file), partition.inputs, partition.outputs))
    partitions.push({
      file,
      ...(data === undefined ? {} : { data }),
      ...planned(parts[index]!, partition, facts, options),
    })
  }
  const hasHalf = parts.some(({ outputs }) =>
    outputs.some(({ name, to }) => {
      const type = facts.types.get(name)
      return to.length > 0 && type?.kind === 'tensor' && type.type === 'float16'
    }),
  )
  return { cuts, partitions, checked, files, temporary, hasHalf }
}

function checkedModel(path: string, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): CheckedModel {
  return { path, inputs: inputs.map(({ name }) => name), outputs: outputs.map(({ name }) => name) }
}

/** What has to be fed: the binding does not know initializers as inputs. */
export function feedsOf({ graph }: Model): readonly ValueInfo[] {
  return graph.inputs.filter(({ name }) => !graph.initializers.has(name) && !graph.sparseInitializers.has(name))
}

/** Of a value that is sent as another type. */
function widening({ type }: ValueInfo): number {
  return type?.kind === 'tensor' && type.type === 'float16' ? 0.5 : 2
}

function planned(
  part: Part,
  partition: Partition,
  { types, leastBytes }: CutFacts,
  { sizes }: PartitionOptions,
): Omit<PlannedPartition, 'file' | 'data'> {
  const made = new Map(part.outputs.map((output) => [output.name, output]))
  const carriedAway = new Set(partition.carries.values())
  // What the file leaves open for the engine's sake is known all the same.
  const value = ({ name, type }: ValueInfo, of: string): PlannedValue => {
    if (type?.kind !== 'tensor') return { name, type: 'unknown', shape: null }
    const inferred = types.get(of)
    if (type.shape === null || sizes === 'wrong' || inferred?.kind !== 'tensor' || inferred.shape === null) {
      return { name, type: type.type, shape: type.shape }
    }
    const known = inferred.shape
    return { name, type: type.type, shape: type.shape.map((dimension, axis) => known[axis] ?? dimension) }
  }
  return {
    blocks: part.blocks,
    nodes: part.nodes.length,
    repeated: part.repeated.length,
    inputs: partition.inputs.map((info, at) => ({
      ...value(info, part.inputs[at]!.name),
      from: part.inputs[at]!.from,
    })),
    outputs: partition.outputs.map((info) => {
      const carried = partition.carries.get(info.name)
      const { name, to, ofGraph } = made.get(carried ?? info.name)!
      return {
        ...value(info, name),
        bytes: leastBytes(name) * (carried === undefined ? 1 : widening(info)),
        // What is sent under another name is not sent under its own.
        to: carried === undefined && carriedAway.has(name) ? [] : to,
        ofGraph: ofGraph && carried === undefined,
      }
    }),
  }
}
