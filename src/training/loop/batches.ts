/** Batches of an epoch, the same for the same seed. */
import { createSeeded, shuffled } from '../../data/index.ts'
import type { Seeded } from '../../data/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import type { Examples, Part } from '../data/index.ts'
import { LAST_OF_TIME } from '../graph/step.ts'
import { lossOf } from '../losses/default.ts'
import type { TrainPlan } from '../plan/schema.ts'

type Feeds = Readonly<Record<string, Tensor>>

/** Places in the part's rows, in the order in which this epoch takes them. */
export function epochOrder(plan: TrainPlan, part: Part, seed: number, epoch: number): Uint32Array {
  if (plan.batch === 'full' || plan.shuffle === false) return part.index
  return shuffled(part.index, createSeeded(seed, 'epoch', epoch))
}

/** How many batches an epoch has; a short last one is kept. */
export function batchesOf(plan: TrainPlan, count: number): number {
  return plan.batch === 'full' ? 1 : Math.ceil(count / plan.batch)
}

export function batchRows(plan: TrainPlan, order: Uint32Array, batch: number): Uint32Array {
  const size = plan.batch === 'full' ? order.length : plan.batch
  return order.subarray(batch * size, (batch + 1) * size)
}

/**
 * The inputs of a graph for these rows. Rows of a survival task are put into the order that Cox's loss needs; those of a
 * ranking get another item each, drawn from the seed.
 */
export async function feedsFor(
  plan: TrainPlan,
  part: Part,
  rows: Uint32Array,
  others: Others | undefined,
  signal?: AbortSignal,
): Promise<Feeds> {
  if (plan.task === 'ranking' && others !== undefined) {
    return { ...(await part.rows.take(rows, signal)), [FIELD.other]: drawn(rows.length, others) }
  }
  if (plan.task !== 'survival') return part.rows.take(rows, signal)
  const { order, last } = await byFallingTime(part, rows)
  const { [FIELD.time]: _, ...feeds } = await part.rows.take(order, signal)
  const loss = lossOf(plan)
  return loss.kind === 'cox' && loss.ties === 'breslow' ? { ...feeds, [LAST_OF_TIME]: last } : feeds
}

/** From what the items of a ranking that were not chosen are drawn. */
export interface Others {
  readonly items: number
  readonly seeded: Seeded
}

/** The items of a ranking; nothing for other tasks. @param purpose of the numbers that are drawn */
export function othersOf(
  plan: TrainPlan,
  { features }: Pick<Examples, 'features'>,
  seed: number,
  ...purpose: readonly (string | number)[]
): Others | undefined {
  if (plan.task !== 'ranking') return undefined
  return { items: features?.[1]?.names.length ?? 1, seeded: createSeeded(seed, 'others', ...purpose) }
}

function drawn(count: number, { items, seeded }: Others): Tensor {
  const data = BigInt64Array.from({ length: count }, () => BigInt(seeded.below(items)))
  return { type: 'int64', dims: [count], data }
}

/** Equal times stay in the order of the rows. */
async function byFallingTime(
  part: Part,
  rows: Uint32Array,
): Promise<{ readonly order: Uint32Array; readonly last: Tensor }> {
  const { [FIELD.time]: times } = await part.rows.take(rows)
  const values = times!.data as Float32Array
  const places = Array.from(rows, (_, place) => place).sort((a, b) => values[b]! - values[a]! || a - b)
  const last = new BigInt64Array(places.length)
  for (let at = places.length - 1, end = at; at >= 0; at--) {
    if (values[places[at]!] !== values[places[end]!]) end = at
    last[at] = BigInt(end)
  }
  const order = Uint32Array.from(places, (place) => rows[place]!)
  return { order, last: { type: 'int64', dims: [places.length], data: last } }
}
