/** A hash table from pairs of token ids to a rank, in flat memory: a Map with 280,000 such keys costs ten times as much. */

const EMPTY = -1

export interface PairTable {
  /** Keeps the first rank of a pair. */
  add(left: number, right: number, rank: number): void
  /** The rank, or -1. */
  get(left: number, right: number): number
}

/** Holds up to `pairs` pairs. */
export function createPairTable(pairs: number): PairTable {
  // At most half full, so that a probe is short.
  const slots = 2 ** Math.ceil(Math.log2(Math.max(pairs, 1) * 2 + 1))
  const mask = slots - 1
  const lefts = new Int32Array(slots).fill(EMPTY)
  const rights = new Int32Array(slots)
  const ranks = new Int32Array(slots)
  const find = (left: number, right: number): number => {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0
    slot = (slot ^ (slot >>> 15)) & mask
    while (lefts[slot] !== EMPTY && (lefts[slot] !== left || rights[slot] !== right)) slot = (slot + 1) & mask
    return slot
  }
  return {
    add(left, right, rank) {
      const slot = find(left, right)
      if (lefts[slot] !== EMPTY) return
      lefts[slot] = left
      rights[slot] = right
      ranks[slot] = rank
    },
    get(left, right) {
      const slot = find(left, right)
      return lefts[slot] === EMPTY ? -1 : (ranks[slot] as number)
    },
  }
}
