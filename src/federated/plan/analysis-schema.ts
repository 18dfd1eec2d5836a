/** `weft.fed-analysis/1`: statistics over sites that no site tells alone. docs/federated.md has each field. */
import { z } from 'zod'
import { planName, ROUND_FIELDS } from './round-fields.ts'

const text = z.string().min(1).max(200)
const number = z.number()
const cell = z.union([z.string().max(1000), number])
const positive = number.positive()
/** Bins of one histogram. */
const MOST_BINS = 10_000

/** One of three forms: edges, a range in equal bins, or values of their own. */
const bins = {
  edges: z
    .array(number)
    .min(2)
    .max(MOST_BINS + 1)
    .optional(),
  range: z.tuple([number, number]).optional(),
  bins: z.int().min(1).max(MOST_BINS).optional(),
  values: z.array(cell).min(1).max(1000).optional(),
}
const common = {
  /** How the result calls it. @default kind and column */
  name: text.optional(),
  /** Share of the noise that it is spared: with 2 its noise is half that of others. @default 1 */
  weight: z.number().min(0.01).max(100).optional(),
}
/** The statistic once for each of these values; other records are in none. */
const by = z.strictObject({ column: text, values: z.array(cell).min(1).max(100) }).optional()
/** Which records are positive: the column is above a number, or equals a value. */
const label = z.strictObject({ column: text, above: number.optional(), equals: cell.optional() })
const range = z.tuple([number, number])

const count = z.strictObject({ kind: z.literal('count'), ...common, by })
const moments = z.strictObject({ kind: z.literal('moments'), column: text, range: range.optional(), ...common, by })
const histogram = z.strictObject({ kind: z.literal('histogram'), column: text, ...bins, ...common, by })
const quantiles = z.strictObject({
  kind: z.literal('quantiles'),
  column: text,
  range,
  bins: z.int().min(2).max(MOST_BINS),
  /** Which: 0.5 is the median. */
  at: z.array(z.number().gt(0).lt(1)).min(1).max(100),
  /** Each round after the first parts the bin of a quantile into as many again. @default 1 */
  rounds: z.int().min(1).max(8).optional(),
  ...common,
})
const survival = z.strictObject({
  kind: z.literal('kaplan-meier'),
  time: text,
  /** Whether the time ends with the event; censored otherwise. */
  event: label,
  edges: bins.edges,
  range: bins.range,
  bins: bins.bins,
  ...common,
  by,
})
const score = { score: text, target: label, range: range.optional(), bins: z.int().min(1).max(MOST_BINS) }
const auc = z.strictObject({ kind: z.literal('auc'), ...score, ...common, by })
const calibration = z.strictObject({ kind: z.literal('calibration'), ...score, ...common, by })
const drift = z.strictObject({
  kind: z.literal('drift'),
  column: text,
  ...bins,
  /** Edges between which sites are counted by their distance from the others. @default 0.05, 0.1, 0.2, 0.4 */
  distances: z.array(z.number().gt(0).lt(1)).min(1).max(20).optional(),
  ...common,
})
const schema = z.strictObject({
  kind: z.literal('schema'),
  columns: z
    .array(z.strictObject({ column: text, range: range.optional(), values: bins.values }))
    .min(1)
    .max(1000),
  ...common,
})

const statistic = z.discriminatedUnion('kind', [
  count,
  moments,
  histogram,
  quantiles,
  survival,
  auc,
  calibration,
  drift,
  schema,
])

const privacy = z.strictObject({
  /** Whose presence is hidden. */
  unit: z.enum(['record', 'site']),
  epsilon: positive,
  delta: z.number().gt(0).lt(1),
  /** In place of the least that keeps all rounds within epsilon. */
  noise_multiplier: positive.optional(),
  /** Sites that may add no noise of theirs. @default 0 */
  colluders: z.int().min(0).max(64).optional(),
})

export const analysisSchema = z.strictObject({
  schema: z.literal('weft.fed-analysis/1'),
  name: planName,
  statistics: z.array(statistic).min(1).max(200),
  /** Records that a site has at most: a site with more is refused. @default 100000 */
  records: z.int().min(1).max(100_000_000).optional(),
  secagg: z.strictObject({ bits: z.int().min(16).max(32) }).optional(),
  privacy: z.union([z.literal('off'), privacy]).optional(),
  ...ROUND_FIELDS,
})

export type AnalysisPlan = z.output<typeof analysisSchema>
export type StatisticSpec = z.output<typeof statistic>
export type StatisticOf<K extends StatisticSpec['kind']> = Extract<StatisticSpec, { readonly kind: K }>
export type LabelSpec = z.output<typeof label>
export type AnalysisPrivacy = z.output<typeof privacy>
export interface BinSpec {
  readonly edges?: readonly number[] | undefined
  readonly range?: readonly [number, number] | undefined
  readonly bins?: number | undefined
  readonly values?: readonly (string | number)[] | undefined
}
