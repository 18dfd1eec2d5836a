/** What a manifest says of a graph that reads text, held against the graph's own inputs and outputs. */
import * as z from 'zod'
import { isAddress } from '../../store/index.ts'
import { ManifestError } from '../errors.ts'
import { MAX_CONTEXT, MAX_WIDTH } from '../readers/limits.ts'
import type { GraphShape } from './manifest.ts'
import { recogniseText, TOKEN_IDS } from './recognise-text.ts'
import type { GraphText } from './text.ts'

const MAX_NAME = 1_024
/** As JSON the largest, of 262,144 tokens with half a million merges, have 20 MB. */
const MAX_TOKENIZER_BYTES = 1 << 28
/** Two a layer, for eight times the layers of the deepest models. */
const MAX_CARRIED = 4_096

const name = z.string().min(1).max(MAX_NAME)
const count = (most: number): z.ZodNumber => z.number().int().min(1).max(most)
const common = {
  tokenizer: z.strictObject({
    address: z.string().refine(isAddress, 'not a blob address'),
    bytes: count(MAX_TOKENIZER_BYTES),
  }),
  context: count(MAX_CONTEXT),
}

export const textSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('encoder'),
    ...common,
    dimensions: count(MAX_WIDTH),
    pooling: z.enum(['mean', 'cls', 'last', 'none']),
    normalize: z.boolean(),
    output: name,
  }),
  z.strictObject({
    kind: z.literal('decoder'),
    ...common,
    logits: name,
    carried: z
      .array(z.strictObject({ output: name, input: name }))
      .min(1)
      .max(MAX_CARRIED),
  }),
])

/** @throws ManifestError */
export function checkText(graph: Pick<GraphShape, 'inputs' | 'outputs'>, text: GraphText): void {
  const seen = recogniseText(graph)
  if (seen === null || !graph.inputs.some((input) => input.name === TOKEN_IDS)) {
    throw new ManifestError('text: the graph does not take token ids')
  }
  if (seen.kind !== text.kind) throw new ManifestError(`text: the graph is no ${text.kind}`)
  if (text.kind === 'decoder' && seen.kind === 'decoder') checkCaches(text, seen.carried.length, graph)
  if (text.kind === 'encoder' && seen.kind === 'encoder') {
    const output = graph.outputs.find((one) => one.name === text.output)
    const rank = text.pooling === 'none' ? 2 : 3
    if (output === undefined || (output.shape?.length ?? rank) !== rank)
      throw new ManifestError('text: its output is not one of the graph')
    const width = output.shape?.at(-1) ?? null
    if (typeof width === 'number' && width !== text.dimensions)
      throw new ManifestError(`text: ${text.dimensions} dimensions, and the graph gives ${width}`)
    if (seen.fixed !== null && text.context > seen.fixed)
      throw new ManifestError(`text: a context of ${text.context}, and the graph takes ${seen.fixed}`)
  }
}

function checkCaches(
  { logits, carried }: GraphText & { readonly kind: 'decoder' },
  caches: number,
  { inputs, outputs }: Pick<GraphShape, 'inputs' | 'outputs'>,
): void {
  const given = new Map(outputs.map((output) => [output.name, output]))
  const taken = new Map(inputs.map((input) => [input.name, input]))
  const known = carried.every(({ output, input }) => {
    const from = given.get(output)
    return from !== undefined && from.type === taken.get(input)?.type && output !== logits
  })
  const once = new Set(carried.map(({ input }) => input)).size === carried.length
  const single = new Set(carried.map(({ output }) => output)).size === carried.length
  if (!known || !once || !single || !given.has(logits) || carried.length !== caches) {
    throw new ManifestError('text: its caches are not those of the graph')
  }
}
