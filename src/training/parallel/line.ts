/**
 * A step's gradients, computed by several: its batches are dealt out to parts, by their numbers alone, each part is summed up for
 * itself, and the parts are added in their order. So the sum has the same bits whoever computes which part, and however many
 * they are. Without "shares" in the plan each batch is a part: the bits of one process that adds up one batch after the other.
 */
import type { Tensor } from '../../onnx/index.ts'
import { unrounded } from '../adapters/rounding.ts'
import type { GradientForm } from '../adapters/rounding.ts'
import type { Tensors } from '../loop/stepper.ts'
import type { GradientSession } from './gradient-session.ts'
import type { GradientTask, ParameterForm } from './task.ts'

export interface WeightedBatch {
  readonly feeds: Tensors
  /** Its part of the step's examples. */
  readonly weight: number
}

export interface GradientStep {
  readonly parameters: Tensors
  /** By part, and in the order in which each is summed up. */
  readonly shares: readonly (readonly WeightedBatch[])[]
  /** A checkpoint may follow: what was rounded away before is told with it, and nothing is rounded. */
  readonly whole: boolean
}

export interface StepGradients {
  /** Of each share, the mean loss of each of its batches. */
  readonly losses: readonly (readonly number[])[]
  /** Of the parameters: what is to be added up, in this order. */
  readonly parts: readonly Tensors[]
}

export interface GradientLine {
  /** @throws when nobody is left who can compute a share; the signal's reason */
  step(step: GradientStep, signal?: AbortSignal): Promise<StepGradients>
  close(): Promise<void>
}

/** Who shares the steps of a run, told what the run is. */
export interface OpenGradients {
  /** How many there are. */
  readonly count: number
  open(job: GradientJob, signal?: AbortSignal): Promise<GradientLine>
}

export interface GradientJob {
  readonly task: GradientTask
  /** Of the plan. */
  readonly name: string
  readonly parameters: readonly ParameterForm[]
  readonly threads: number
  readonly gradients: GradientForm
}

/** Places of a step's batches: batch n is of share n mod `shares`. Those without a batch are left out. */
export function sharesOf(batches: number, shares: number): readonly (readonly number[])[] {
  const all = Array.from({ length: batches }, (_, place) => place)
  return Array.from({ length: Math.min(shares, batches) }, (_, share) => all.filter((n) => n % shares === share))
}

/** All shares in this process, one after the other; where gradients are rounded, with the bits of one peer. */
export function localLine(
  session: GradientSession,
  forms: readonly ParameterForm[],
  end: () => Promise<void>,
): GradientLine {
  return {
    async step({ parameters, shares, whole }, signal) {
      session.begin(new Map(Object.entries(parameters)))
      const losses: number[][] = []
      const parts: Tensors[] = []
      for (const share of shares) {
        const own: number[] = []
        for (const { feeds, weight } of share) {
          signal?.throwIfAborted()
          own.push(await session.add(new Map(Object.entries(feeds)), weight))
        }
        losses.push(own)
        const told = new Map(Object.entries(session.tell(whole)))
        parts.push(Object.fromEntries(forms.map(({ name, dims }) => [name, unrounded(told, name, dims)!])))
      }
      return { losses, parts }
    },
    close: end,
  }
}

/** In float32, as the graph of one process adds them. */
export function sumOf(forms: readonly ParameterForm[], parts: readonly Tensors[]): Tensors {
  const sums = forms.map(({ name, dims }): [string, Tensor] => {
    const sum = new Float32Array(parts[0]![name]!.data as Float32Array)
    for (const part of parts.slice(1)) {
      const own = part[name]!.data as Float32Array
      for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + own[at]!
    }
    return [name, { type: 'float32', dims, data: sum }]
  })
  return Object.fromEntries(sums)
}
