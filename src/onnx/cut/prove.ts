/** Cuts that are tried until whole and split agree: other cuts where one has changed bits, other ways to send. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Optimization } from '../engine.ts'
import type { CheckResult, CheckTask } from './check-task.ts'
import type { PartitionOptions } from './partition.ts'
import type { Decision } from './verdict.ts'
import { writeParts } from './write-parts.ts'
import type { WriteWork, WrittenParts } from './write-parts.ts'

export interface ProofWork extends WriteWork {
  readonly needs: {
    check(task: CheckTask, signal?: AbortSignal): Promise<CheckResult>
    progress?(step: 'read' | 'cut' | 'write' | 'check'): void
  }
  /** What parts are held against: the model's file, or one made of it that the engine and its binding take. */
  readonly whole: CheckTask['whole']
  /** The check is to tell how long the parts take. */
  readonly measured: boolean
  /** Something in the model may draw random numbers. */
  readonly chance: boolean
  /** The time for other cuts and other ways is over: one more try, and no more. */
  spent(): boolean
}

export interface Proof {
  readonly optimization: Optimization
  readonly written: WrittenParts
  readonly options: PartitionOptions
  /** Null: not checked. */
  readonly result: CheckResult | null
}

/** Choices of cuts at one level: each takes as long as the whole model twice. */
const MOST_TRIES = 4
/** Choices of which every cut changes bits: the model is such, at this level. */
const MOST_HOPELESS = 2

/** The last try, whether it agreed or not. @param fixed the cuts are given and not to be changed */
export async function proveCuts(
  work: ProofWork,
  optimization: Optimization,
  decideFor: (banned: ReadonlySet<number>) => Decision,
  fixed: boolean,
): Promise<{ readonly decision: Decision; readonly proof: Proof }> {
  const banned = new Set<number>()
  let hopeless = 0
  for (let attempt = 1; ; attempt++) {
    const decision = decideFor(banned)
    const { cuts } = decision.chosen
    const proof = await proveWays(work, optimization, cuts)
    const kind = proof.result?.kind
    const isLast = kind === 'equal' || kind === 'unchecked' || kind === 'unrepeatable' || cuts.length === 0
    if (isLast || fixed || attempt === MOST_TRIES || work.spent()) return { decision, proof }
    const guilty = await guiltyCuts(work, optimization, cuts)
    if (cuts.length > 1 && guilty.length === cuts.length && ++hopeless === MOST_HOPELESS) return { decision, proof }
    for (const cut of guilty) banned.add(cut)
  }
}

/** The cuts that change bits alone; all of them where it takes several. */
async function guiltyCuts(
  work: ProofWork,
  optimization: Optimization,
  cuts: readonly number[],
): Promise<readonly number[]> {
  if (cuts.length === 1) return cuts
  const guilty: number[] = []
  for (const cut of cuts) {
    if (work.spent()) return cuts
    const { written, result } = await proveWays(work, optimization, [cut], 'single')
    await removeFiles(work, written.files)
    if (result?.kind !== 'equal') guilty.push(cut)
  }
  return guilty.length === 0 ? cuts : guilty
}

/** In the order in which they are tried; the first that agrees is taken. */
const WAYS: readonly (PartitionOptions & { readonly after: CheckResult['kind']; readonly half?: true })[] = [
  // Optimised alone: what the engine knows of sizes decides what it fuses.
  { after: 'differs', halfAsFloat: true, sizes: 'fixed' },
  { after: 'differs', halfAsFloat: true, sizes: 'ranks' },
  { after: 'refused', halfAsFloat: true, sizes: 'wrong' },
  { after: 'differs', halfAsFloat: false, half: true },
]

async function proveWays(
  work: ProofWork,
  optimization: Optimization,
  cuts: readonly number[],
  stem?: string,
): Promise<Proof> {
  const first = await proveWay(work, optimization, cuts, { halfAsFloat: true }, stem)
  for (const { after, half, ...options } of WAYS) {
    if (first.result?.kind !== after || work.spent()) continue
    if (half === true ? !first.written.hasHalf : after === 'differs' && optimization === 'off') continue
    const proof = await proveWay(work, optimization, cuts, options, stem)
    if (proof.result?.kind === 'equal') return proof
  }
  return first
}

/** Written, run and compared, in one way. */
export async function proveWay(
  work: ProofWork,
  optimization: Optimization,
  cuts: readonly number[],
  options: PartitionOptions,
  stem?: string,
): Promise<Proof> {
  const { needs, whole, signal, measured, chance } = work
  needs.progress?.('write')
  const written = await writeParts(work, cuts, options, stem)
  needs.progress?.('check')
  try {
    const result = await needs.check({ whole, parts: written.checked, optimization, measured, chance }, signal)
    return { optimization, written, options, result }
  } finally {
    await removeFiles(work, written.temporary)
  }
}

export async function removeFiles({ out }: WriteWork, files: readonly string[]): Promise<void> {
  await Promise.all(files.map((file) => rm(join(out, file), { force: true })))
}
