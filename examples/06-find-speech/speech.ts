/** Pieces of sound as Silero takes them, and the stretches of speech in what it says of each. */
import type { NamedTensors } from '../../src/index.ts'
import { RATE } from '../wav.ts'

/** Samples that it judges at a time, and those before them that it wants to see again. */
export const STEP = 512
const CONTEXT = 64

/** Seconds. */
export interface Stretch {
  readonly from: number
  readonly to: number
}

/** [steps, 1, 576] of whole steps. `before`: the samples that came before these. */
export function stepsOf(samples: Float32Array, before: Float32Array): NamedTensors[string] {
  const steps = Math.floor(samples.length / STEP)
  const known = new Float32Array(CONTEXT + samples.length)
  known.set(before.subarray(-CONTEXT), CONTEXT - Math.min(CONTEXT, before.length))
  known.set(samples, CONTEXT)
  const data = new Float32Array(steps * (CONTEXT + STEP))
  for (let step = 0; step < steps; step++) {
    data.set(known.subarray(step * STEP, (step + 1) * STEP + CONTEXT), step * (CONTEXT + STEP))
  }
  return { type: 'float32', dims: [steps, 1, CONTEXT + STEP], data }
}

/** Speech begins where the model is sure, and ends where it was unsure for 0.3 seconds. */
export function stretchesOf(probabilities: readonly number[]): Stretch[] {
  const patience = Math.ceil((0.3 * RATE) / STEP)
  const found: { from: number; to: number }[] = []
  for (const [step, probability] of probabilities.entries()) {
    const last = found.at(-1)
    if (probability < (last !== undefined && step - last.to < patience ? 0.35 : 0.5)) continue
    if (last !== undefined && step - last.to <= patience) last.to = step + 1
    else found.push({ from: step, to: step + 1 })
  }
  return found.map(({ from, to }) => ({ from: (from * STEP) / RATE, to: (to * STEP) / RATE }))
}

/** Stretches of a file in RTTM, the format of speaker labels, without who speaks: overlapping ones are one. */
export function stretchesOfRttm(text: string): Stretch[] {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const spoken = lines.filter(([kind]) => kind === 'SPEAKER').map((fields) => [Number(fields[3]), Number(fields[4])])
  const joined: { from: number; to: number }[] = []
  for (const [from = 0, length = 0] of spoken.toSorted(([a = 0], [b = 0]) => a - b)) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, from + length)
    else joined.push({ from, to: from + length })
  }
  return joined
}

/** Of the steps whose middle is in the stretches: how many are in the others too. */
export function shareIn(stretches: readonly Stretch[], others: readonly Stretch[], seconds: number): number {
  const inside = (time: number, list: readonly Stretch[]): boolean =>
    list.some(({ from, to }) => time >= from && time < to)
  const times = Array.from({ length: Math.floor((seconds * RATE) / STEP) }, (_, step) => ((step + 0.5) * STEP) / RATE)
  const within = times.filter((time) => inside(time, stretches))
  return within.filter((time) => inside(time, others)).length / within.length
}
