/** `weft.fed-plan/1` and `weft.fed-data/1`: what a federation agrees on, and what stays at a site. docs/federated.md has each field. */
import { z } from 'zod'
import { bufferSchema } from './buffer.ts'
import { gossipSchema } from './gossip.ts'
import { neighboursSchema } from './neighbours.ts'
import { robustSchema } from './robust-field.ts'
import { planName, ROUND_FIELDS } from './round-fields.ts'
import { compressionSchema } from './compression.ts'
import { fedAdapterSchema } from './language.ts'
import { inputSchema } from './input.ts'

const text = z.string().min(1).max(200)
const count = z.int().min(1).max(1_000_000)
const positive = z.number().positive()
const share = z.number().min(0).max(1)
const cell = z.union([z.string().max(1000), z.number()])

const secagg = z.strictObject({
  /** gamma = 2^-f */
  f: z.int().min(0).max(30),
  bits: z.int().min(8).max(32),
  /** No coordinate of an update is larger. */
  c: positive,
  /** In place of what the number of members gives: all with all up to 64, then neighbours. */
  neighbours: neighboursSchema.optional(),
})

const privacy = z.strictObject({
  /** Whose presence is hidden. */
  unit: z.enum(['record', 'site']),
  epsilon: positive,
  delta: z.number().gt(0).lt(1),
  /** Norm to which a record's gradient, or a site's update, is clipped. */
  clip: positive,
  /** Chance of a record to be in a step; of a site, 1: secure sums tell who takes part. @default 1 */
  sample_rate: share.gt(0).optional(),
  /** In place of the least that keeps all rounds within epsilon. */
  noise_multiplier: positive.optional(),
  /**
   * By which accountant the least noise is found: `pld` takes less for the same epsilon, and half a second to find where records are
   * sampled. Ledgers go by the smaller of both whatever stands here. @default rdp
   */
  accountant: z.enum(['rdp', 'pld']).optional(),
  /** Sites that may add no noise of theirs (colluders); survivors below t cannot end a round anyway. @default 0 */
  colluders: z.int().min(0).max(64).optional(),
  /** Site level alone: the bound finds the quantile of norms. */
  adaptive: z
    .strictObject({ eta: positive.optional(), quantile: share.optional(), count_noise: positive.optional() })
    .optional(),
})

const local = z.strictObject({
  steps: count.optional(),
  epochs: count.optional(),
  batch: z.union([z.literal('full'), count]).optional(),
  optimizer: z.enum(['sgd', 'adam', 'adamw', 'adagrad', 'lion']).optional(),
  lr: positive,
  momentum: z.number().min(0).lt(1).optional(),
  weight_decay: z.number().min(0).optional(),
  shuffle: z.boolean().optional(),
  seed: z.int().min(0).optional(),
  /** mu of FedProx: mu (w - w_global) is added to the gradient. */
  proximal: z.number().min(0).optional(),
  /** Each class counts the same at a site, however many records it has there. @default false */
  balance: z.boolean().optional(),
})

export const fedPlanSchema = z.strictObject({
  schema: z.literal('weft.fed-plan/1'),
  name: planName,
  task: z.enum(['binary', 'multiclass', 'regression', 'survival', 'autoencoder', 'language']),
  target: z.unknown().optional(),
  classes: z.int().min(2).optional(),
  /** Of tables. */
  features: z.array(z.unknown()).min(1).max(65_536).optional(),
  /** Of what is no table. */
  input: inputSchema.optional(),
  split: z.unknown().optional(),
  model: z.unknown(),
  /** What is trained beside a language model. */
  adapter: fedAdapterSchema.optional(),
  init: z.unknown().optional(),
  rounds: z.int().min(1).max(100_000),
  local,
  /** `name`, and parameters of the strategy (docs/vectors.md). */
  strategy: z.looseObject({ name: text }),
  secagg: z.union([z.literal('off'), secagg]).optional(),
  privacy: z.union([z.literal('off'), privacy]).optional(),
  /** Under the strategy "bucketed": attackers that each round has to bear, or is not made. */
  robust: robustSchema.optional(),
  /** Sites that are summed among themselves first: then their sums, which nobody sees either. */
  clusters: z
    .array(z.strictObject({ name: text, sites: z.array(text).min(3).max(255) }))
    .min(3)
    .max(255)
    .optional(),
  /** Under the strategy "fedbuff": rounds that wait for a cohort, and not for all. */
  buffer: bufferSchema.optional(),
  /** Each site has a model of its own, and small groups mix theirs. */
  gossip: gossipSchema.optional(),
  /** Updates that are made smaller before they are summed. @default they are sent whole */
  compression: compressionSchema.optional(),
  /** Parameters (by parts of their names) that stay at a site: FedBN, personal heads. */
  personal: z.array(text).max(1000).optional(),
  /** Ditto: beside the global model each site trains one of its own, held to it by lambda. */
  ditto: z.strictObject({ lambda: z.number().min(0), steps: count.optional() }).optional(),
  ...ROUND_FIELDS,
})

export type FedPlan = z.output<typeof fedPlanSchema>
export type SecaggSpec = z.output<typeof secagg>
export type PrivacySpec = z.output<typeof privacy>

const column = z.union([text, z.looseObject({ name: text })])

const path = z.string().min(1).max(4096)
const paths = z.union([path, z.array(path).min(1).max(10_000)])
/** Others print it, and logs hold it. */
const label = text.regex(/^[^\p{Cc}\p{Cf}]+$/u, 'has a control character in it')
const ofSite = {
  schema: z.literal('weft.fed-data/1'),
  site: label,
  /** The name under which the ledger counts. @default the site's */
  dataset: label.optional(),
}
/** Where this site holds the file of a model of the kind `onnx`. */
const holding = { ...ofSite, model: path.optional() }

const table = z.strictObject({
  ...holding,
  kind: z.literal('csv'),
  path: paths,
  header: z.boolean().optional(),
  separator: z.string().min(1).max(10).optional(),
  columns: z.array(column).min(1).max(65_536).optional(),
  missing: z.array(cell).max(10_000).optional(),
})
/** Plain text, or the field of each line of `.jsonl`. */
const texts = z.strictObject({ ...ofSite, kind: z.literal('text'), path: paths, field: text.optional() })
/** Arrays of an archive by their names. */
const arrays = z.strictObject({ ...holding, kind: z.literal('npz'), path, input: text, target: text.optional() })
const idx = z.strictObject({ ...holding, kind: z.literal('idx'), images: path, labels: path })
/** A folder of folders, one a class, which the plan names. */
const images = z.strictObject({ ...holding, kind: z.literal('images'), path })
const sounds = z.strictObject({ ...holding, kind: z.literal('wav'), path })

const kinds = [table, texts, arrays, idx, images, sounds] as const
export const fedDataSchema = z.discriminatedUnion('kind', kinds)

/** Fields of a data file, for who has misspelt one. */
export const FED_DATA_FIELDS: readonly string[] = [...new Set(kinds.flatMap(({ shape }) => Object.keys(shape)))]

export type FedData = z.output<typeof fedDataSchema>
