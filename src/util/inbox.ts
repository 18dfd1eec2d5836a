/** Values that arrive when they will, taken one by one; an error ends it. */

export class Inbox<T> {
  #values: T[] = []
  #error: Error | undefined
  #wake: (() => void) | undefined

  get length(): number {
    return this.#values.length
  }

  push(value: T): void {
    this.#values.push(value)
    this.#wake?.()
  }

  /** What is here, and is here no more. */
  clear(): T[] {
    return this.#values.splice(0)
  }

  /** What is already here can still be taken; then the error is thrown. The first one counts. */
  fail(error: Error): void {
    this.#error ??= error
    this.#wake?.()
  }

  async take(): Promise<T> {
    for (;;) {
      if (this.#values.length > 0) return this.#values.shift()!
      if (this.#error !== undefined) throw this.#error
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
