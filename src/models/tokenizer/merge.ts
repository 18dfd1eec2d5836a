/**
 * The merging loop that byte-level BPE and SentencePiece share: of all neighbours that make a token, the pair of the
 * lowest rank goes first, the leftmost of equals (Sennrich et al., 2016). A heap and links keep it O(n log n), so that
 * a megabyte without a space does not hang.
 */

import { PIECE } from './pieces.ts'
import type { InPieces } from './pieces.ts'

/** Positions are below this, so that rank and position share one exact float: rank * 2^30 + position. */
const POSITION_SPAN = 2 ** 30

export interface Merging {
  /** Rank of the token that the symbols at two neighbouring positions make, or -1. */
  rank(left: number, right: number): number
  /** The symbol at `left` takes in the one at `right`. */
  join(left: number, right: number, rank: number): void
}

/** Merges symbols 0 to `count - 1`, and returns for each position the next one still alive; the last one's is `count`. */
export function* mergeSymbols(count: number, merging: Merging): InPieces<Int32Array> {
  // One entry beyond the end, so that position `count` has links too.
  const next = new Int32Array(count + 1)
  const previous = new Int32Array(count + 1)
  for (let position = 0; position <= count; position++) {
    next[position] = position + 1
    previous[position] = position - 1
  }
  const dead = new Uint8Array(count + 1)
  const heap: number[] = []
  const consider = (left: number, right: number): void => {
    if (left < 0 || right >= count) return
    const rank = merging.rank(left, right)
    if (rank >= 0) push(heap, rank * POSITION_SPAN + left)
  }
  for (let position = 0; position + 1 < count; position++) {
    consider(position, position + 1)
    if (position % PIECE === PIECE - 1) yield
  }
  let taken = 0
  while (heap.length > 0) {
    if (++taken % PIECE === 0) yield
    const key = pop(heap)
    const rank = Math.floor(key / POSITION_SPAN)
    const left = key - rank * POSITION_SPAN
    const right = next[left] as number
    // The pair may have changed since it was pushed; if what stands there now has this very rank, it is due now.
    if (dead[left] === 1 || right >= count || merging.rank(left, right) !== rank) continue
    merging.join(left, right, rank)
    dead[right] = 1
    const after = next[right] as number
    next[left] = after
    previous[after] = left
    consider(previous[left] as number, left)
    consider(left, after)
  }
  return next
}

function push(heap: number[], key: number): void {
  let at = heap.length
  heap.push(key)
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent] as number
    if (above <= key) break
    heap[at] = above
    at = parent
  }
  heap[at] = key
}

function pop(heap: number[]): number {
  const top = heap[0] as number
  const key = heap.pop() as number
  const size = heap.length
  if (size === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child += 1
    if ((heap[child] as number) >= key) break
    heap[at] = heap[child] as number
    at = child
  }
  heap[at] = key
  return top
}
