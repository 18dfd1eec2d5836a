/**
 * Classes that count the same in training, however many records of each a site has. Where sites differ in what they have most
 * of, their updates differ by that above all; among updates that differ, those of attackers do not stand out.
 */

/** A class that is rarer still counts for less: what is gone through stays within so many times the records. */
const MOST_TIMES = 64

function byClass(labels: readonly number[]): number[][] {
  const classes = new Map<number, number[]>()
  for (const [place, label] of labels.entries()) {
    const own = classes.get(label)
    if (own === undefined) classes.set(label, [place])
    else own.push(place)
  }
  return [...classes.values()]
}

export interface Balanced {
  /** Of records, each class as often as the most frequent one (or 64 times, if that is less): its records again and again, in their order. */
  readonly places: Uint32Array
  /**
   * Records, evenly many of each class, whose mean chance moves as much as this one: K^2 / sum (1 / n_k). A single record of a class
   * that is repeated a hundred times is still one.
   */
  readonly even: number
}

/** @param labels of the records of a site */
export function balanced(labels: readonly number[]): Balanced {
  const classes = byClass(labels)
  const most = Math.max(0, ...classes.map(({ length }) => length))
  const all = classes.flatMap((places) =>
    Array.from({ length: Math.min(most, MOST_TIMES * places.length) }, (_, at) => places[at % places.length]!),
  )
  const even = classes.length ** 2 / classes.reduce((sum, { length }) => sum + 1 / length, 0)
  return { places: Uint32Array.from(all).sort(), even }
}
