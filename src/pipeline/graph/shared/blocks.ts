/** Which ranges of a segment are held. The lowest that fits is taken, since memory that was used just now is quick. */

/** Of a page: two blocks share none. */
const ALIGNMENT = 4096

export class Blocks {
  readonly #most: number
  /** In the order in which they lie. */
  readonly #held: { readonly offset: number; readonly end: number }[] = []

  constructor(most: number) {
    this.#most = most
  }

  get held(): number {
    return this.#held.length
  }

  /** @returns its offset, or null where no range of so many bytes is free */
  take(bytes: number): number | null {
    const length = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
    let offset = 0
    let index = 0
    while (index < this.#held.length && this.#held[index]!.offset - offset < length) offset = this.#held[index++]!.end
    if (offset + length > this.#most) return null
    this.#held.splice(index, 0, { offset, end: offset + length })
    return offset
  }

  /** What is not held is let be. */
  free(offset: number): void {
    const index = this.#held.findIndex((block) => block.offset === offset)
    if (index !== -1) this.#held.splice(index, 1)
  }
}
