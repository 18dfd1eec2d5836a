/**
 * Pages of a run of rows each, found by name. What is worth least goes first: by GreedyDual-Size-Frequency (Cherkasova, HP
 * Labs 1998), where cost and size of all pages are alike, so that uses and age decide. Only the last page of a prefix goes:
 * what follows it could not be found any more.
 */

interface Page<Data> {
  readonly data: Data
  readonly bytes: number
  readonly before: string | undefined
  uses: number
  worth: number
  /** Pages that follow it. */
  followers: number
}

export class PageStore<Data> {
  readonly #pages = new Map<string, Page<Data>>()
  /** Worth of the last that went: what is used from now on is worth more. */
  #floor = 0
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#pages.size
  }

  has(key: string): boolean {
    return this.#pages.has(key)
  }

  /** The pages of the longest prefix that is here, which are worth more from now on. */
  find(keys: readonly string[]): Data[] {
    const found: Data[] = []
    for (const key of keys) {
      const page = this.#pages.get(key)
      if (page === undefined) break
      page.uses++
      page.worth = this.#floor + page.uses
      found.push(page.data)
    }
    return found
  }

  /** @param before key of the page that it follows; where that is not here, neither is this one. */
  add(key: string, before: string | undefined, data: Data, bytes: number): void {
    const parent = before === undefined ? undefined : this.#pages.get(before)
    if (this.#pages.has(key) || (before !== undefined && parent === undefined)) return
    if (parent !== undefined) parent.followers++
    this.#pages.set(key, { data, bytes, before, uses: 1, worth: this.#floor + 1, followers: 0 })
    this.#bytes += bytes
  }

  /** Keeps at most so many bytes. */
  shrink(most: number): void {
    while (this.#bytes > Math.max(most, 0)) {
      const key = this.#least()
      if (key === undefined) return
      const page = this.#pages.get(key)!
      this.#pages.delete(key)
      this.#bytes -= page.bytes
      this.#floor = page.worth
      const parent = page.before === undefined ? undefined : this.#pages.get(page.before)
      if (parent !== undefined) parent.followers--
    }
  }

  #least(): string | undefined {
    let least: string | undefined
    let worth = Infinity
    for (const [key, page] of this.#pages) {
      if (page.followers > 0 || page.worth >= worth) continue
      least = key
      worth = page.worth
    }
    return least
  }
}
