/**
 * The decoder layers, one at a time: each candidate's error on the rows that float32 gives the layer, and the models that
 * are made of the candidates on rows of their own. A layer's weights are in memory in all its forms.
 */
import { trialLayer } from '../../../models/index.ts'
import type { Block, BlockErrors, DecoderShape, TrialBlock, WeightFormat } from '../../../models/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import { relativeError } from './error.ts'
import { cheapest } from './cheapest.ts'
import type { Candidate } from './protocol.ts'
import type { TrialRunner } from './runner.ts'

/** A model in the making. Models that are alike so far share one array. */
export interface Whole {
  readonly price: number
  readonly weights: WeightFormat[]
  /** Sum of the squared errors of its layers. */
  damage: number
  /** What its last layer gave for the held-out text. */
  rows: Float32Array
}

export interface LayerNeeds {
  readonly store: BlobStore
  readonly shape: DecoderShape
  readonly runner: TrialRunner
  /** Of the longest text. */
  readonly positions: number
}

/** What float32 gives, each [rows, width]. */
export interface ReferenceRows {
  readonly calibration: Float32Array
  readonly heldOut: Float32Array
  readonly range: Float32Array
}

/** Runs the layer; the wholes are moved on. */
export async function throughLayer(
  { store, shape, runner, positions }: LayerNeeds,
  {
    block,
    layer,
    candidates,
  }: { readonly block: Block; readonly layer: number; readonly candidates: readonly Candidate[] },
  before: ReferenceRows,
  wholes: readonly Whole[],
): Promise<{ readonly after: ReferenceRows; readonly errors: BlockErrors }> {
  const trial = (weights: WeightFormat): Promise<TrialBlock> =>
    trialLayer(store, shape, { ...block, weights }, layer, positions)
  const run = (of: TrialBlock, x: Float32Array): Promise<Float32Array> => runner.run(of, x, shape.width)
  const exact = await trial('f32')
  const after: ReferenceRows = {
    calibration: await run(exact, before.calibration),
    heldOut: await run(exact, before.heldOut),
    range: await run(exact, before.range),
  }
  const errors: Partial<Record<WeightFormat, number>> = {}
  const trials = new Map<WeightFormat, TrialBlock>()
  for (const { weights } of candidates) {
    const own = weights === 'f32' ? exact : await trial(weights)
    trials.set(weights, own)
    const got = own === exact ? after.calibration : await run(own, before.calibration)
    errors[weights] = relativeError(got, after.calibration, before.calibration, shape.width)
  }
  const moved = new Map([[`f32/${wholes.findIndex(({ rows }) => rows === before.heldOut)}`, after.heldOut]])
  const firsts = wholes.map(({ rows }) => wholes.findIndex((other) => other.rows === rows))
  for (const [index, whole] of wholes.entries()) {
    const weights = cheapest(candidates, errors, whole.price)
    const key = `${weights}/${firsts[index]!}`
    const rows = moved.get(key) ?? (await run(trials.get(weights)!, whole.rows))
    moved.set(key, rows)
    whole.rows = rows
    whole.weights.push(weights)
    whole.damage += errors[weights]! ** 2
  }
  return { after, errors }
}
