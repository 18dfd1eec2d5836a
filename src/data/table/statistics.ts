/** Mean and deviation of a column in one pass over its values (Welford 1962), in float64. */
export interface ColumnStatistics {
  readonly count: number
  readonly mean: number
  /** Of the population; 1 where all values are equal, so that nothing is divided by 0. */
  readonly sd: number
  /** Sum of the squared distances from the mean. */
  readonly squares: number
}

export class RunningStatistics {
  #count = 0
  #mean = 0
  #squares = 0

  add(value: number): void {
    this.#count++
    const before = value - this.#mean
    this.#mean += before / this.#count
    this.#squares += before * (value - this.#mean)
  }

  result(): ColumnStatistics {
    const sd = this.#count === 0 ? 0 : Math.sqrt(this.#squares / this.#count)
    return { count: this.#count, mean: this.#mean, sd: sd > 0 ? sd : 1, squares: this.#squares }
  }
}
