/** What is alive across each position of an order. */
import type { Lifetimes } from './lifetimes.ts'

export interface Crossings {
  /** At index k, bytes that cross a cut before the k-th solid node: 0 to count. */
  readonly bytes: Float64Array
  /** Values there that cannot be sent. */
  readonly blocked: Int32Array
}

export function crossingsOf({ count, values }: Lifetimes): Crossings {
  const bytes = new Float64Array(count + 2)
  const blocked = new Int32Array(count + 2)
  for (const value of values) {
    bytes[value.born + 1]! += value.bytes
    bytes[value.last + 1]! -= value.bytes
    if (value.sendable) continue
    blocked[value.born + 1]!++
    blocked[value.last + 1]!--
  }
  for (let position = 1; position <= count; position++) {
    bytes[position]! += bytes[position - 1]!
    blocked[position]! += blocked[position - 1]!
  }
  return { bytes: bytes.subarray(0, count + 1), blocked: blocked.subarray(0, count + 1) }
}
