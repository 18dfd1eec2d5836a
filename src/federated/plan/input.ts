/** What goes into a model that is over no columns: arrays, images, sounds or texts, of one form at all sites. */
import { z } from 'zod'
import { FedPlanError } from './errors.ts'
import type { FedData, FedPlan } from './schema.ts'

const labels = z.array(z.string().min(1).max(200)).min(2).max(10_000)
const dims = z.array(z.int().min(1).max(1_000_000))

/** Each example is of the same type and dimensions at all sites, else their models would be of different sizes. */
export const inputSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('array'),
    /** As the site's file has it; float64 is taken as float32. */
    type: z.enum(['float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64']),
    dims: dims.min(1).max(8),
  }),
  z.strictObject({
    kind: z.literal('image'),
    /** Channels, height, width; bytes. */
    dims: dims.length(3),
    /** Names of the folders of classes, in the order of their numbers: a site may lack one. */
    labels: labels.optional(),
  }),
  z.strictObject({
    kind: z.literal('sound'),
    /** Samples a second. */
    rate: z.int().min(1000).max(384_000),
    seconds: z.number().positive().max(600),
    labels,
  }),
  /** Windows of so many bytes, and the byte after each. */
  z.strictObject({ kind: z.literal('text'), length: z.int().min(2).max(65_536) }),
])

type Input = z.output<typeof inputSchema>
type InputKind = Input['kind']

/** Kinds of a site's data that give such an input. */
const DATA: Readonly<Record<InputKind, readonly FedData['kind'][]>> = {
  array: ['npz', 'idx'],
  image: ['images', 'npz', 'idx'],
  sound: ['wav'],
  text: ['text'],
}
const ZOO = ['linear', 'mlp', 'cnn', 'resnet', 'gru', 'lstm', 'autoencoder', 'onnx']
const MODELS: Readonly<Record<InputKind | 'table', readonly string[]>> = {
  table: ['linear', 'mlp', 'autoencoder', 'onnx'],
  array: ZOO,
  image: ZOO,
  sound: ZOO,
  text: ['decoder'],
}

/** The kinds of a site's data that a plan takes. */
export function dataKindsOf({ input, task }: Pick<FedPlan, 'input' | 'task'>): readonly FedData['kind'][] {
  if (input !== undefined) return DATA[input.kind]
  return task === 'language' ? ['text'] : ['csv']
}

/** @throws FedPlanError when a model has no input, or one that is not its own */
export function checkInput(plan: FedPlan, where: string): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  const { features, input, adapter, task, target } = plan
  if (adapter !== undefined) throw wrong('adapter', 'is trained where the task is "language"')
  if (features === undefined && input === undefined) {
    throw wrong(
      'features',
      'are the columns of the input, one at least (or "input" says what else goes into the model)',
    )
  }
  if (features !== undefined && input !== undefined) throw wrong('input', 'is for models without "features"')
  const { kind } = plan.model as { readonly kind: string }
  const known = MODELS[input?.kind ?? 'table']
  if (!known.includes(kind)) {
    const what = input === undefined ? 'columns' : `an input of the kind "${input.kind}"`
    throw wrong('model.kind', `"${kind}" is not trained over sites: of ${what} it is one of ${known.join(', ')}`)
  }
  const ids = (features ?? []).findIndex((feature) => (feature as { readonly ids?: unknown }).ids === true)
  if (ids >= 0) throw wrong(`features.${ids}.ids`, 'would be numbered by each site in its own way')
  if (input === undefined) return
  if ((input.kind === 'text') !== (task === 'language')) {
    throw wrong('task', input.kind === 'text' ? 'is "language" for texts' : 'is "language" for texts alone')
  }
  if (target !== undefined) throw wrong('target', 'is a column, and there are none: labels lie beside the examples')
  if (task === 'survival') throw wrong('task', '"survival" takes columns for time and event')
  if (input.kind === 'text') return
  checkLabels(plan, 'labels' in input ? input.labels : undefined, where)
}

function checkLabels({ task, classes, input }: FedPlan, names: readonly string[] | undefined, where: string): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  if (names !== undefined && new Set(names).size < names.length) throw wrong('input.labels', 'has a name twice')
  if (task === 'binary' && names !== undefined && names.length !== 2)
    throw wrong('input.labels', 'are two where the task is "binary"')
  if (task !== 'multiclass') return
  if (names === undefined && classes === undefined) {
    const field = input?.kind === 'image' ? 'input.labels' : 'classes'
    throw wrong(field, 'are needed: a site that lacks a class would number the others in its own way')
  }
  if (names !== undefined && classes !== undefined && classes !== names.length)
    throw wrong('classes', `are ${classes}, and there are ${names.length} labels`)
}

/** What plans of training have in place of the data that a site will name. */
export function nobodysData({ input }: Pick<FedPlan, 'input'>): Partial<FedData> {
  const path = 'data'
  switch (input?.kind) {
    case 'array':
      return { kind: 'npz', path, input: 'x', target: 'y', model: path }
    case 'image':
      return { kind: 'images', path, model: path }
    case 'sound':
      return { kind: 'wav', path, model: path }
    case 'text':
      return { kind: 'text', path }
    default:
      return { kind: 'csv', path, model: path }
  }
}

/** @param found one example of this site's. @throws FedPlanError: it is not what all sites have */
export function checkExample(
  { input }: Pick<FedPlan, 'input'>,
  found: { readonly type: string; readonly dims: readonly number[] },
  where: string,
): void {
  if (input?.kind !== 'array' && input?.kind !== 'image') return
  const type = input.kind === 'array' ? input.type : 'uint8'
  if (found.type === type && found.dims.join() === input.dims.join()) return
  const [own, wanted] = [found, { type, dims: input.dims }].map(
    ({ type: element, dims: sizes }) => `${element} [${sizes.join(', ')}]`,
  )
  throw new FedPlanError(where, 'path', `holds examples of ${own}, and the plan takes ${wanted}`)
}
