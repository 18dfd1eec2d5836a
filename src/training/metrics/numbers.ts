/** Numbers that come a batch at a time, four bytes each; while they grow, up to twice as many. */
const FIRST = 1024

export class NumberList {
  #values = new Float32Array(FIRST)
  #count = 0

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float32Array(2 * this.#count)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#count++] = value
  }

  /** No copy: it holds until the next number. */
  all(): Float32Array {
    return this.#values.subarray(0, this.#count)
  }
}
