/** Preprocessing as nodes: it stands in the graph of the model, which so takes the raw values of a table. */
import type { ColumnStatistics } from '../../data/index.ts'
import type { GraphMaker } from '../graph/graph-maker.ts'
import type { FeatureSpec } from '../plan/schema.ts'

/** A feature with what was learnt of it on the rows for training. */
export interface FittedFeature {
  readonly column: string
  /** How raw numbers become inputs. */
  readonly kind: 'standard' | 'raw' | 'one-hot' | 'id'
  /** In place of a missing value. */
  readonly mean: number
  readonly sd: number
  /** Of `raw`: what it is divided by. */
  readonly divisor: number
  /** Of `one-hot`: the raw numbers that have an input each. Texts are numbered in the order of the plan. */
  readonly values: readonly number[]
  /** Of `one-hot` and `id`: what each of them is called in the table. */
  readonly names: readonly (string | number)[]
  readonly count: number
}

/** What a graph has to know of it. */
export type FeatureForm = Pick<FittedFeature, 'kind' | 'mean' | 'sd' | 'divisor' | 'values'> & {
  readonly names: { readonly length: number }
}

/** @param names of an `ids` feature, in the order of their numbers */
export function fitFeature(
  spec: FeatureSpec,
  { count, mean, sd }: Omit<ColumnStatistics, 'squares'>,
  names: readonly string[],
): FittedFeature {
  const common = { column: spec.column, mean, sd, count, divisor: 1, values: [], names: [] }
  if (spec.values !== undefined) {
    return { ...common, kind: 'one-hot', values: rawValues(spec.values), names: spec.values }
  }
  if (spec.ids === true) return { ...common, kind: 'id', mean: 0, sd: 1, names }
  const { scale = 'standard' } = spec
  if (scale === 'standard') return { ...common, kind: 'standard' }
  return { ...common, kind: 'raw', divisor: scale === 'none' ? 1 : scale.divide }
}

/** Numbers stand for themselves; where one is a text, all stand for their places. */
export function rawValues(values: readonly (string | number)[]): readonly number[] {
  return values.every((value) => typeof value === 'number') ? values : values.map((_, index) => index)
}

export function inputCount(features: readonly FeatureForm[]): number {
  return features.reduce((sum, { kind, values }) => sum + (kind === 'one-hot' ? values.length : 1), 0)
}

/**
 * x [batch, columns], a missing value NaN, to [batch, inputs]: numbers are standardised, with their mean where they are
 * missing; each declared value has an input that is 1 or 0, and a missing one is 0 in all. Inputs in the order of the plan.
 */
export function addPreprocessing(maker: GraphMaker, x: string, features: readonly FeatureForm[]): string {
  maker.named('preprocess')
  const parts: string[] = []
  for (let from = 0; from < features.length;) {
    const first = features[from]!
    let to = from + 1
    // Numbers that stand side by side go through together.
    if (first.kind !== 'one-hot') while (to < features.length && features[to]!.kind !== 'one-hot') to++
    const isAll = from === 0 && to === features.length
    const places = maker.int64s(Array.from({ length: to - from }, (_, index) => from + index))
    const columns = isAll ? x : maker.op('Gather', [x, places], { axis: 1 })
    parts.push(
      first.kind === 'one-hot' ? oneHot(maker, columns, first) : scaled(maker, columns, features.slice(from, to)),
    )
    from = to
  }
  return parts.length === 1 ? parts[0]! : maker.op('Concat', parts, { axis: 1 })
}

function scaled(maker: GraphMaker, columns: string, features: readonly FeatureForm[]): string {
  const row = (values: readonly number[]): string => maker.constant('float32', [1, values.length], values)
  const means = row(features.map(({ mean }) => mean))
  const filled = maker.op('Where', [maker.op('IsNaN', [columns]), means, columns])
  const shifts = features.map(({ kind, mean }) => (kind === 'standard' ? mean : 0))
  const sizes = features.map(({ kind, sd, divisor }) => (kind === 'standard' ? sd : divisor))
  const centred = shifts.every((shift) => shift === 0) ? filled : maker.op('Sub', [filled, row(shifts)])
  return sizes.every((size) => size === 1) ? centred : maker.op('Div', [centred, row(sizes)])
}

function oneHot(maker: GraphMaker, column: string, { values }: FeatureForm): string {
  const is = maker.op('Equal', [column, maker.constant('float32', [1, values.length], values)])
  return maker.op('Cast', [is], { to: 1 })
}
