/** What rounding adds, without rounding: the same numbers at every call and on every machine. */

const SIZE = 1 << 22
/** Where the noise of one input begins behind that of the one before it, so that no two are alike. */
const STRIDE = 104_729

let table: Float32Array | undefined

/** Evenly between -0.5 and 0.5 (Mulberry32), `count` of them; equal places give equal numbers. */
export function noiseAt(place: number, count: number): Float32Array {
  table = count > SIZE ? makeTable(2 * count) : (table ?? makeTable(SIZE))
  const from = (place * STRIDE) % (table.length - count + 1)
  return table.subarray(from, from + count)
}

function makeTable(size: number): Float32Array {
  const values = new Float32Array(size)
  for (let at = 0, state = 1; at < size; at++) {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    values[at] = ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 - 0.5
  }
  return values
}
