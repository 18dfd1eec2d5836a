/** Memory for the results of a request: those of one output lie side by side, so that nothing is copied to join them. */
import { unwritten } from '../shared/segment.ts'

interface Row {
  readonly memory: Uint8Array
  /** Bytes of one unit. */
  readonly size: number
}

export class ResultMemory {
  readonly #units: number
  readonly #rows = new Map<string, Row | null>()

  constructor(units: number) {
    this.#units = units
  }

  /** @returns the place of this unit, or memory of its own where units have different sizes or come out of turn */
  place(name: string, unit: number, bytes: number): Uint8Array {
    let row = this.#rows.get(name)
    if (row === undefined) this.#rows.set(name, (row = unit === 0 ? this.#begin(bytes) : null))
    // The last unit may have less than the others, and then is still where its predecessor ends.
    const fits = row !== null && (bytes === row.size || (bytes < row.size && unit === this.#units - 1))
    return fits ? row!.memory.subarray(unit * row!.size, unit * row!.size + bytes) : unwritten(bytes)
  }

  #begin(size: number): Row | null {
    if (this.#units === 1) return null
    try {
      return { memory: unwritten(this.#units * size), size }
    } catch {
      // More than there is at one time: so is the whole result, which is told when it is joined.
      return null
    }
  }
}
