/** How well scores order the examples. They hold on to the scores: an order is one of all examples. */
import { GrowingList } from '../../util/index.ts'
import type { Meter, Said } from './types.ts'

/** Area under the ROC curve: the share of the pairs of both classes that are in order (Mann and Whitney 1947), ties half. */
export class AreaUnderCurve implements Meter {
  readonly #positive = new GrowingList(Float32Array)
  readonly #negative = new GrowingList(Float32Array)

  add({ scores, targets }: Said): void {
    for (const [row, score] of scores.entries()) (targets[row] === 1 ? this.#positive : this.#negative).add(score)
  }

  value(): number {
    const [positive, negative] = [this.#positive.all().sort(), this.#negative.all().sort()]
    let [right, below, upTo] = [0, 0, 0]
    for (const score of positive) {
      while (below < negative.length && negative[below]! < score) below++
      while (upTo < negative.length && negative[upTo]! <= score) upTo++
      right += (below + upTo) / 2
    }
    return right / (positive.length * negative.length)
  }
}

/**
 * Harrell's C: of the pairs whose order in time is known, the share whose risks are in the opposite order; equal risks
 * count half. A pair is known when the earlier of two different times is that of an event.
 */
export class Concordance implements Meter {
  readonly #risks = new GrowingList(Float32Array)
  readonly #times = new GrowingList(Float32Array)
  readonly #events = new GrowingList(Float32Array)

  add({ scores, targets, times }: Said): void {
    for (const [row, score] of scores.entries()) {
      this.#risks.add(score)
      this.#times.add(times?.[row] ?? 0)
      this.#events.add(targets[row]!)
    }
  }

  value(): number {
    return concordance(this.#risks.all(), this.#times.all(), this.#events.all())
  }
}

function concordance(risks: Float32Array, times: Float32Array, events: Float32Array): number {
  const levels = risks.slice().sort()
  const tree = new Float64Array(levels.length + 1)
  const order = Uint32Array.from(risks, (_, index) => index).sort((a, b) => times[b]! - times[a]!)
  let [pairs, right] = [0, 0]
  for (let from = 0; from < order.length;) {
    let to = from
    while (to < order.length && times[order[to]!] === times[order[from]!]) to++
    const tied = order.subarray(from, to)
    for (const row of tied) {
      if (events[row] !== 1) continue
      const at = placeIn(levels, risks[row]!)
      const below = sumBelow(tree, at)
      pairs += from
      right += below + (sumBelow(tree, at + 1) - below) / 2
    }
    for (const row of tied) added(tree, placeIn(levels, risks[row]!))
    from = to
  }
  return right / pairs
}

/** The first place of a value that is among them. */
function placeIn(sorted: Float32Array, value: number): number {
  let [from, to] = [0, sorted.length]
  while (from < to) {
    const middle = (from + to) >>> 1
    if (sorted[middle]! < value) from = middle + 1
    else to = middle
  }
  return from
}

/** How many were added at places before `place` (Fenwick 1994). */
function sumBelow(tree: Float64Array, place: number): number {
  let sum = 0
  for (let at = place; at > 0; at -= at & -at) sum += tree[at]!
  return sum
}

function added(tree: Float64Array, place: number): void {
  for (let at = place + 1; at < tree.length; at += at & -at) tree[at]!++
}
