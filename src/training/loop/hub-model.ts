/** A decoder that was trained on texts: its parameters as the hub's layout takes them. */
import { join } from 'node:path'
import { EMBEDDING_TENSOR, OUTPUT_NORM_TENSOR, OUTPUT_TENSOR, writeHubDecoder } from '../../models/index.ts'
import type { LayerPart } from '../../models/index.ts'
import type { Examples } from '../data/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { EPSILON, hiddenOf, ROTARY_BASE } from '../zoo/decoder.ts'
import { RUN_FILES } from './folder.ts'
import type { RunFolder } from './folder.ts'
import type { Tensors } from './stepper.ts'

/** Parts of a block as the zoo calls them. */
const PARTS: Readonly<Record<string, LayerPart>> = {
  norm0: 'attn_norm',
  query: 'attn_q',
  key: 'attn_k',
  value: 'attn_v',
  output: 'attn_output',
  norm1: 'ffn_norm',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
}
const WHOLE: Readonly<Record<string, string>> = {
  'embedding.weight': EMBEDDING_TENSOR,
  'norm.weight': OUTPUT_NORM_TENSOR,
  'head.weight': OUTPUT_TENSOR,
}

/** Nothing for a model of another kind, or whose tokens are no bytes. @returns the files, by their paths in the folder of the run */
export async function writeHubModel(
  folder: RunFolder,
  { model: spec, data }: TrainPlan,
  parameters: Tensors,
  { outputs: vocabulary, length }: Examples,
): Promise<string[]> {
  if (spec.kind !== 'decoder' || data.kind !== 'text') return []
  const { layers, width, heads, kv_heads = heads, tied = true } = spec
  const hidden = hiddenOf(spec)
  const sizes = { layers, width, hidden, heads, kv_heads, vocabulary, tied }
  // The model has seen no further than a text in training.
  const decoder = { ...sizes, context: length, norm_epsilon: EPSILON, rope_base: ROTARY_BASE }
  const tensors = Object.entries(parameters).map(([name, { dims, data: values }]) => {
    const filed = { name: tensorName(name), dims, values: values as Float32Array }
    return dims.length === 2 && filed.name !== EMBEDDING_TENSOR ? turned(filed) : filed
  })
  const files = await writeHubDecoder(join(folder.path, RUN_FILES.hub), decoder, tensors)
  return files.map((file) => join(RUN_FILES.hub, file))
}

function tensorName(name: string): string {
  const [, layer, part] = /^layers\.(\d+)\.(\w+)\.weight$/.exec(name) ?? []
  return layer === undefined ? (WHOLE[name] ?? name) : `blk.${layer}.${PARTS[part!] ?? part}.weight`
}

interface Matrix {
  readonly name: string
  readonly dims: readonly number[]
  readonly values: Float32Array
}

/** A product takes it as [inputs, outputs] here, and as [outputs, inputs] there. */
function turned({ name, dims, values }: Matrix): Matrix {
  const [rows, columns] = dims as [number, number]
  const own = Float32Array.from(values, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!)
  return { name, dims: [columns, rows], values: own }
}
