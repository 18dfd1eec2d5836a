/** How well scores order the examples. */

/** Area under the ROC curve by ranks (Mann and Whitney 1947), ties shared. NaN where one class has no example. */
export function areaUnderCurve(scores: Float32Array, targets: Float64Array): number {
  const order = Array.from(scores, (_, index) => index).sort((a, b) => scores[a]! - scores[b]!)
  let [ranks, positives] = [0, 0]
  for (let from = 0; from < order.length;) {
    let to = from + 1
    while (to < order.length && scores[order[to]!] === scores[order[from]!]) to++
    const rank = (from + to + 1) / 2
    for (let at = from; at < to; at++) {
      if (targets[order[at]!] !== 1) continue
      ranks += rank
      positives++
    }
    from = to
  }
  const negatives = order.length - positives
  return (ranks - (positives * (positives + 1)) / 2) / (positives * negatives)
}

/**
 * Harrell's C: of the pairs whose order in time is known, the share whose risks are in the opposite order; equal risks
 * count half. A pair is known when the earlier of two different times is that of an event.
 */
export function concordance(risks: Float32Array, times: Float64Array, events: Float64Array): number {
  const levels = [...new Set(risks)].sort((a, b) => a - b)
  const level = new Map(levels.map((risk, index) => [risk, index]))
  const tree = new Float64Array(levels.length + 1)
  const order = Array.from(risks, (_, index) => index).sort((a, b) => times[b]! - times[a]!)
  let [pairs, right, added] = [0, 0, 0]
  for (let from = 0; from < order.length;) {
    let to = from
    while (to < order.length && times[order[to]!] === times[order[from]!]) to++
    const tied = order.slice(from, to)
    for (const row of tied) {
      if (events[row] !== 1) continue
      const at = level.get(risks[row]!)!
      const below = sumBelow(tree, at)
      const equal = sumBelow(tree, at + 1) - below
      pairs += added
      right += below + equal / 2
    }
    for (const row of tied) add(tree, level.get(risks[row]!)!)
    added += tied.length
    from = to
  }
  return right / pairs
}

/** How many were added at places before `place` (Fenwick 1994). */
function sumBelow(tree: Float64Array, place: number): number {
  let sum = 0
  for (let at = place; at > 0; at -= at & -at) sum += tree[at]!
  return sum
}

function add(tree: Float64Array, place: number): void {
  for (let at = place + 1; at < tree.length; at += at & -at) tree[at]!++
}
