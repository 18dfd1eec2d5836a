/** What a model said about examples, beside what is right. */
export interface Said {
  /** Numbers a row: classes, or 1. */
  readonly width: number
  /** [rows, width] */
  readonly scores: Float32Array
  /** Classes, 0 or 1, numbers, or events. */
  readonly targets: Float64Array
  /** Of a survival task. */
  readonly times?: Float64Array
  /** Mean loss. */
  readonly loss: number
}
