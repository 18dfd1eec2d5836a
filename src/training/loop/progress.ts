/** How far a run is, and what became of it: plain data, kept in each checkpoint. */
import type { Metrics } from '../metrics/index.ts'

/** One epoch of a run. */
export interface CurvePoint {
  /** From 1. */
  readonly epoch: number
  /** Steps of the run so far. */
  readonly step: number
  /** Mean loss over the epoch's batches, each as it was before its step. */
  readonly loss: number
  readonly learning_rate: number
  readonly validation?: Metrics
}

export interface Progress {
  /** Steps that are done. */
  readonly step: number
  /** The epoch that is going on, from 0, and its steps that are done. */
  readonly epoch: number
  readonly in_epoch: number
  /** Sums over the epoch that is going on: of losses times rows, and of rows. */
  readonly loss_sum: number
  readonly rows: number
  readonly curve: readonly CurvePoint[]
  /** The best evaluation, and how many there were since. */
  readonly best?: { readonly epoch: number; readonly value: number }
  readonly since_best: number
  /** Early stopping has ended the run. */
  readonly stopped: boolean
}

export const BEGINNING: Progress = {
  step: 0,
  epoch: 0,
  in_epoch: 0,
  loss_sum: 0,
  rows: 0,
  curve: [],
  since_best: 0,
  stopped: false,
}
