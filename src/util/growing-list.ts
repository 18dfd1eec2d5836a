/** Numbers whose count nobody knows before the last, each as wide as its type says; while they grow, up to twice as many. */
const FIRST = 1024

type Numbers = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

export class GrowingList<Held extends Numbers> {
  readonly #make: new (length: number) => Held
  #values: Held
  #count = 0

  /** @param make Float32Array or Uint32Array */
  constructor(make: new (length: number) => Held) {
    this.#make = make
    this.#values = new make(FIRST)
  }

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new this.#make(2 * this.#count)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#count++] = value
  }

  /** No copy: it holds until the next number. */
  all(): Held {
    return this.#values.subarray(0, this.#count) as Held
  }
}
