/** Did-you-mean: the nearest known word, where it is near enough to be a slip of the hand. */

/** Damerau-Levenshtein distance, adjacent swaps counted once (optimal string alignment). */
export function editDistance(left: string, right: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const row = [i]
    for (let j = 1; j <= right.length; j++) {
      const cost = left[i - 1] === right[j - 1] ? 0 : 1
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1)
      }
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return last[right.length] ?? 0
}

/** Words longer than this are no slips; it bounds the work too. */
const WORD_MAX = 40

export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_MAX) return undefined
  const allowed = word.length <= 3 ? 1 : word.length <= 7 ? 2 : 3
  let best: { word: string; distance: number } | undefined
  for (const candidate of known) {
    // A beginning that was typed far enough is a better guess than any distance: `capab` for `capabilities`.
    const distance = word.length >= 3 && candidate.startsWith(word) ? 0.5 : editDistance(word, candidate)
    if (distance <= allowed && (best === undefined || distance < best.distance)) best = { word: candidate, distance }
  }
  return best?.word
}
