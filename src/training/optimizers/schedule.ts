/** The learning rate of a step. */
import type { ScheduleSpec } from './types.ts'

export interface SchedulePlace {
  /** Of the run, from 0. */
  readonly step: number
  readonly steps: number
  /** Of the run, from 0. */
  readonly epoch: number
}

/** A factor of the rate. During warm-up it rises in a straight line and is never 0. */
export function scheduleFactor(spec: ScheduleSpec | undefined, { step, steps, epoch }: SchedulePlace): number {
  const warmup = spec?.warmup ?? 0
  if (step < warmup) return (step + 1) / warmup
  if (spec === undefined || spec.kind === 'constant') return 1
  if (spec.kind === 'step') return spec.factor ** Math.floor(epoch / spec.every)
  const final = spec.final ?? 0
  const share = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
  const left = spec.kind === 'cosine' ? (1 + Math.cos(Math.PI * share)) / 2 : 1 - share
  return final + (1 - final) * left
}
