/**
 * Cuts that are moved after the parts have been run: what is inferred of a node tells little of how long it takes. The
 * graph is run in small pieces, the costs of a piece's blocks are scaled to what it took, and the cuts chosen again, for
 * parts on one machine.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Optimization } from '../engine.ts'
import type { Blocks } from './blocks.ts'
import { choosePartitions, measureCuts } from './choose.ts'
import type { ChosenPartitions, MemoryLimit } from './choose.ts'
import { proveCuts, proveWay } from './prove.ts'
import type { Proof, ProofWork } from './prove.ts'
import type { Decision } from './verdict.ts'

interface Proven {
  readonly decision: Decision
  readonly proof: Proof
}

/** From process to process through memory, read and written once: bytes a second. */
const LOCAL_BANDWIDTH = 2e9
/** Pieces a part, for which the time is taken: what is inferred counts only within one. */
const PIECES = 5
/** Below this a part's time is the engine's own, and the time of a run is noise. */
const LEAST_SECONDS = 2e-3
/** What a move must promise: measured times differ by some per cent from one run to the next. */
const GAIN = 0.95

/** @returns the choice with the shorter slowest part, where it was measured; the first where nothing could be */
export async function rebalance(
  work: ProofWork,
  optimization: Optimization,
  first: Proven,
  memoryLimit: MemoryLimit | undefined,
): Promise<Proven> {
  const { cuts } = first.decision.chosen
  const seconds = secondsOf(first.proof)
  if (cuts.length === 0 || seconds === null || Math.max(...seconds) < LEAST_SECONDS) return first
  const blocks = await measuredBlocks(work, optimization, first.proof, PIECES * seconds.length)
  if (blocks === null) return first
  const chosen = choosePartitions(blocks, { parts: seconds.length, memoryLimit, bandwidth: LOCAL_BANDWIDTH })
  const before = measureCuts(blocks, cuts, LOCAL_BANDWIDTH)
  if (chosen === null || chosen.bottleneck > GAIN * before.bottleneck) return first
  const moved = await proven(work, optimization, chosen, first)
  const after = secondsOf(moved.proof)
  if (after !== null && Math.max(...after) < Math.max(...seconds)) return moved
  return proven(work, optimization, before, moved)
}

/** Costs as they were measured, a piece at a time. Null where the pieces do not give what the whole gives. */
async function measuredBlocks(
  work: ProofWork,
  optimization: Optimization,
  { options }: Proof,
  most: number,
): Promise<Blocks | null> {
  const last = work.blocks.starts.length - 1
  const fine = choosePartitions(work.blocks, { parts: Math.min(most, last), bandwidth: Infinity })
  if (fine === null) return null
  const made = await proveWay(work, optimization, fine.cuts, options, 'piece')
  await Promise.all(made.written.files.map((file) => rm(join(work.out, file), { force: true })))
  const seconds = secondsOf(made)
  return seconds === null ? null : scaled(work.blocks, [0, ...fine.cuts, last], seconds)
}

/** In place of what `before` has written. */
async function proven(
  work: ProofWork,
  optimization: Optimization,
  chosen: ChosenPartitions,
  before: Proven,
): Promise<Proven> {
  const decision: Decision = { ...before.decision, chosen }
  const made = await proveCuts(work, optimization, () => decision, true)
  const kept = new Set(made.proof.written.files)
  const left = before.proof.written.files.filter((file) => !kept.has(file))
  await Promise.all(left.map((file) => rm(join(work.out, file), { force: true })))
  return made
}

function secondsOf({ result }: Proof): readonly number[] | null {
  return result?.kind === 'equal' ? (result.seconds ?? null) : null
}

/** @param bounds of the parts, in blocks */
function scaled(blocks: Blocks, bounds: readonly number[], seconds: readonly number[]): Blocks {
  const costs = Float64Array.from(blocks.seconds)
  for (const [part, measured] of seconds.entries()) {
    const range = costs.subarray(bounds[part], bounds[part + 1])
    const nominal = range.reduce((sum, each) => sum + each, 0)
    for (const [index, each] of range.entries()) range[index] = (each * measured) / nominal
  }
  return { ...blocks, seconds: costs }
}
