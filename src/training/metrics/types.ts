/** What a model said about some examples, beside what is right. */
export interface Said {
  /** Numbers a row: classes, or 1. */
  readonly width: number
  /** [rows, width] */
  readonly scores: Float32Array
  /** Classes, 0 or 1, numbers, or events. */
  readonly targets: ArrayLike<number>
  /** Of a survival task. */
  readonly times?: ArrayLike<number>
}

/** Adds up what is said, batch by batch. */
export interface Meter {
  add(said: Said): void
  /** NaN where the examples give none. */
  value(): number
}
