/** `weft.train-plan/1`: what a run of `weft train` reads. docs/training.md describes each field. */
import { z } from 'zod'
import { ADAPTED_PARTS } from '../../models/index.ts'

const text = z.string().min(1).max(1000)
const count = z.int().min(1).max(1_000_000_000)
const positive = z.number().positive()
const share = z.number().min(0).max(1)
const cell = z.union([z.string().max(1000), z.number()])
const cells = z.array(cell).max(10_000)
/** A name that stands in a list twice is a slip, and nobody knows for which other. */
const TWICE = 'a name stands there twice'
const isDistinct = (names: readonly string[]): boolean => new Set(names).size === names.length
const activation = z.enum(['relu', 'tanh', 'gelu', 'silu', 'sigmoid'])

const column = z.union([
  text,
  z.strictObject({
    name: text,
    unit: text.optional(),
    missing: cells.optional(),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
  }),
])

const csv = z.strictObject({
  kind: z.literal('csv'),
  path: z.union([text, z.array(text).min(1).max(10_000)]),
  header: z.boolean().optional(),
  separator: z.union([z.literal('whitespace'), z.string().length(1)]).optional(),
  columns: z.array(column).min(1).max(65_536).optional(),
  missing: cells.optional(),
})
const npz = z.strictObject({ kind: z.literal('npz'), path: text, input: text, target: text.optional() })
const idx = z.strictObject({ kind: z.literal('idx'), images: text, labels: text })
/** Names of folders, in the order of their numbers; all that there are, without it. */
const classes = z.array(text).min(2).max(100_000).refine(isDistinct, TWICE).optional()
const images = z.strictObject({ kind: z.literal('images'), path: text, classes })
const wav = z.strictObject({
  kind: z.literal('wav'),
  path: text,
  classes,
  rate: z.int().min(1000).max(384_000),
  seconds: z.number().positive().max(600),
})
const textData = z.strictObject({
  kind: z.literal('text'),
  path: z.union([text, z.array(text).min(1).max(10_000)]),
  length: z.int().min(2).max(65_536),
  field: text.optional(),
})
const dataSchema = z.discriminatedUnion('kind', [csv, npz, idx, images, wav, textData])

const target = z.union([
  z.strictObject({ column: text, above: z.number() }),
  z.strictObject({ column: text, equals: cell }),
  z.strictObject({ column: text, values: cells.min(2) }),
  z.strictObject({ column: text }),
  z.strictObject({ time: text, event: text }),
])

const feature = z.strictObject({
  column: text,
  missing: cells.optional(),
  values: cells.min(1).optional(),
  /** The column names who or what: each name that occurs gets a number. */
  ids: z.boolean().optional(),
  scale: z.union([z.literal('standard'), z.literal('none'), z.strictObject({ divide: positive })]).optional(),
})

const split = z.union([
  z.strictObject({
    every: z.int().min(2).max(1_000_000),
    test: z.int().min(0),
    validation: z.int().min(0).optional(),
  }),
  z.strictObject({ column: text, test: cell, validation: cell.optional() }),
  z.strictObject({
    share: z.strictObject({ test: share, validation: share.optional() }),
    group: text.optional(),
  }),
])

const sizes = z.array(z.int().min(1).max(1_000_000)).max(1000)
const model = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('linear') }),
  z.strictObject({ kind: z.literal('mlp'), hidden: sizes, activation: activation.optional() }),
  z.strictObject({
    kind: z.literal('cnn'),
    channels: sizes.min(1).optional(),
    hidden: sizes.optional(),
    activation: activation.optional(),
  }),
  z.strictObject({ kind: z.literal('resnet'), channels: sizes.min(1).optional(), blocks: z.int().min(1).optional() }),
  z.strictObject({ kind: z.enum(['gru', 'lstm']), hidden: z.int().min(1).max(65_536) }),
  z.strictObject({ kind: z.literal('autoencoder'), hidden: sizes.min(1), activation: activation.optional() }),
  z.strictObject({ kind: z.literal('matrix-factorisation'), factors: z.int().min(1).max(65_536) }),
  z.strictObject({ kind: z.literal('two-towers'), factors: z.int().min(1).max(65_536), hidden: sizes.optional() }),
  z.strictObject({
    kind: z.literal('decoder'),
    layers: z.int().min(1).max(1000),
    width: z.int().min(2).max(65_536),
    heads: z.int().min(1).max(1024),
    kv_heads: z.int().min(1).max(1024).optional(),
    hidden: z.int().min(1).max(1_000_000).optional(),
    tied: z.boolean().optional(),
  }),
  z.strictObject({
    kind: z.literal('onnx'),
    path: text,
    input: text.optional(),
    output: text.optional(),
    freeze: z.array(text).max(10_000).optional(),
  }),
  /** A language model of the home or the catalogue, whose weights stay as they are. */
  z.strictObject({ kind: z.literal('base'), name: text }),
])

const adapter = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('lora'),
    rank: z.int().min(1).max(1024).optional(),
    alpha: positive.optional(),
    targets: z.array(z.enum(ADAPTED_PARTS)).min(1).refine(isDistinct, TWICE).optional(),
  }),
  z.strictObject({ kind: z.literal('prompt'), tokens: z.int().min(1).max(1024) }),
])

const loss = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('cross-entropy'),
    label_smoothing: z.number().min(0).max(0.999).optional(),
    class_weights: z.array(z.number().min(0)).max(100_000).optional(),
    ignore: z.int().optional(),
  }),
  z.strictObject({ kind: z.literal('binary-cross-entropy'), positive_weight: positive.optional() }),
  z.strictObject({ kind: z.literal('mse') }),
  z.strictObject({ kind: z.literal('huber'), delta: positive.optional() }),
  z.strictObject({ kind: z.literal('cox'), ties: z.enum(['order', 'breslow']).optional() }),
  z.strictObject({ kind: z.literal('bpr') }),
  z.strictObject({ kind: z.literal('distillation'), temperature: positive.optional(), share: share.optional() }),
])

const warmup = z.int().min(0).max(1_000_000_000).optional()
const schedule = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), warmup }),
  z.strictObject({ kind: z.literal('cosine'), warmup, final: share.optional() }),
  z.strictObject({ kind: z.literal('linear'), warmup, final: share.optional() }),
  z.strictObject({ kind: z.literal('step'), warmup, every: count, factor: positive }),
])

const anyOptimizer = {
  lr: positive,
  schedule: schedule.optional(),
  clip_norm: positive.optional(),
  weight_decay: z.number().min(0).optional(),
  no_decay: z.array(text).max(1000).optional(),
}
const beta = z.number().min(0).lt(1)
const betas = z.tuple([beta, beta]).readonly().optional()
const optimizer = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sgd'),
    ...anyOptimizer,
    momentum: beta.optional(),
    nesterov: z.boolean().optional(),
  }),
  z.strictObject({ kind: z.enum(['adam', 'adamw']), ...anyOptimizer, betas, epsilon: positive.optional() }),
  z.strictObject({ kind: z.literal('adagrad'), ...anyOptimizer, epsilon: positive.optional() }),
  z.strictObject({ kind: z.literal('lion'), ...anyOptimizer, betas }),
])

const METRICS = ['loss', 'accuracy', 'auc', 'c-index', 'rmse', 'f1', 'ece', 'brier', 'perplexity'] as const
export type MetricName = (typeof METRICS)[number]
export const metricSchema = z.enum(METRICS)
const metric = metricSchema

const seed = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

export const planSchema = z.strictObject({
  schema: z.literal('weft.train-plan/1'),
  name: text.optional(),
  seed: seed.optional(),
  task: z.enum(['binary', 'multiclass', 'regression', 'survival', 'autoencoder', 'ranking', 'language']),
  data: dataSchema,
  /** All of it is for testing. */
  test: dataSchema.optional(),
  target: target.optional(),
  /** Labels are 0 .. classes - 1. */
  classes: z.int().min(2).max(1_000_000).optional(),
  features: z.array(feature).min(1).max(65_536).optional(),
  split: split.optional(),
  model,
  /** Of a model of kind `base`: what is trained. */
  adapter: adapter.optional(),
  /** As stages of an adapter, or peers that share the steps of any other plan, tell their gradients. */
  gradients: z.enum(['float32', 'int8']).optional(),
  init: z.union([z.enum(['zeros', 'hash']), z.strictObject({ seed })]).optional(),
  loss: loss.optional(),
  /** Of a distillation: a model file, with one input and one output or by their names. */
  teacher: z.strictObject({ path: text, input: text.optional(), output: text.optional() }).optional(),
  optimizer,
  epochs: count,
  batch: z.union([z.literal('full'), count]),
  shuffle: z.boolean().optional(),
  /** Batches whose gradients make one step. */
  accumulate: z.int().min(1).max(100_000).optional(),
  /** So many parts have a step's batches, each summed up for itself. @default one a batch */
  shares: z.int().min(1).max(100_000).optional(),
  metrics: z.array(metric).refine(isDistinct, TWICE).optional(),
  early_stopping: z
    .strictObject({
      metric: metric.optional(),
      patience: z.int().min(1).max(1_000_000),
      least_change: z.number().min(0).optional(),
    })
    .optional(),
  checkpoint: z.strictObject({ every_steps: count.optional(), keep: z.int().min(1).max(1000).optional() }).optional(),
  /** Bytes that rows, parameters and state may take. */
  memory: count.max(Number.MAX_SAFE_INTEGER).optional(),
  threads: z.int().min(1).max(1024).optional(),
})

export type TrainPlan = z.output<typeof planSchema>
/** What decides the graph of a step's gradients, and nothing of data or optimizer. */
export type GraphPlan = Pick<TrainPlan, 'name' | 'task' | 'model' | 'init' | 'loss'>
export type DataSpec = TrainPlan['data']
export type ModelSpec = TrainPlan['model']
export type FeatureSpec = NonNullable<TrainPlan['features']>[number]
export type TargetSpec = NonNullable<TrainPlan['target']>
