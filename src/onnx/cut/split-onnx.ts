/** An ONNX file as partitions: read, cut where it is best, written, and proven to give what the whole gives. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OPTIMIZATION_LEVELS } from '../engine.ts'
import type { Optimization } from '../engine.ts'
import type { Clock } from '../../util/index.ts'
import { checkModel, inlineFunctions, readModel, shown, writeModel } from '../ir/index.ts'
import type { Model } from '../ir/index.ts'
import { bindableForm } from './bindable.ts'
import { blocksOf } from './blocks.ts'
import type { Blocks } from './blocks.ts'
import type { CheckResult, CheckTask } from './check-task.ts'
import type { MemoryLimit } from './choose.ts'
import { OnnxCutsError, OnnxSplitDiffersError } from './errors.ts'
import { factsOf } from './facts.ts'
import type { NominalSizes } from './facts.ts'
import type { CutFacts } from './types.ts'
import { proveCuts, removeFiles } from './prove.ts'
import type { Proof, ProofWork } from './prove.ts'
import type { SplitPlan } from './split-plan.ts'
import { learnTypes } from './learn.ts'
import { observer } from './observe.ts'
import { mayDraw } from './structure.ts'
import { rebalance } from './rebalance.ts'
import { decide, decideCuts } from './verdict.ts'
import type { Decision } from './verdict.ts'
import { feedsOf, writeParts } from './write-parts.ts'

export interface SplitOnnxNeeds {
  /** `runCheck`, or better `checkInChild`: the engine's optimizer ends the process over some graphs. */
  check(task: CheckTask, signal?: AbortSignal): Promise<CheckResult>
  progress?(step: 'read' | 'cut' | 'write' | 'check'): void
  /** Without one there is no end to the patience with a model whose cuts change bits. */
  readonly clock?: Clock
}

/** As what float32 goes from one partition to the next: as it is, or rounded to float16. */
export type Wire = 'f32' | 'f16'

export interface SplitOnnxRequest {
  /** A folder that is there, for the files. */
  readonly out: string
  /** @default 2 */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first, in place of `parts`. */
  readonly cuts?: readonly number[] | undefined
  /** Weights and live values of a partition. */
  readonly memoryLimit?: MemoryLimit | undefined
  /** How fast each partition will run, against each other; in their order. @default all the same */
  readonly paces?: readonly number[] | undefined
  /**
   * How the parts will run. `auto`: the highest level at which the check finds no difference, and `off` where nothing is
   * checked. With `off`, blocks end at every place where only what can be sent crosses.
   * @default 'auto'
   */
  readonly optimization?: Optimization | 'auto' | undefined
  /**
   * With `f16` the cuts and the level are those that were proven without it, and the partitions themselves are not: they
   * give other numbers.
   * @default 'f32'
   */
  readonly wire?: Wire | undefined
  /** @default true */
  readonly check?: boolean | undefined
  readonly sizes?: NominalSizes | undefined
  /** The parts will run side by side on this machine: the cuts follow what the parts took in the check. */
  readonly measured?: boolean | undefined
}

/**
 * For cuts that agree at the levels above `off`, where they nearly always do. A model of which most cuts change bits would
 * take a hundred checks a level.
 */
const PATIENCE_MS = 90_000
/** What parts are held against where it is not the file itself, in the folder of the partitions. */
const WHOLE = 'whole.onnx'
const DEFAULT_PARTS = 2
/** A value of float16 crosses as it is then. */
const ROUNDED = { floatAsHalf: true }
/** More would be a hop for each: no mesh has them. */
const MOST_PARTS = 1024

/**
 * @throws OnnxCutsError, OnnxMemoryLimitError, OnnxSplitDiffersError when no level and no cut gave equal bits, and what
 * reading, checking and writing throw
 */
export async function splitOnnx(
  needs: SplitOnnxNeeds,
  file: string,
  request: SplitOnnxRequest,
  signal?: AbortSignal,
): Promise<SplitPlan> {
  const parts = partsOf(request)
  needs.progress?.('read')
  const read = await readModel(file)
  const checked = checkModel(read)
  const model = await learntModel(needs, inlineFunctions(checked), request, signal)
  signal?.throwIfAborted()
  needs.progress?.('cut')
  const facts = factsOf(model, request.sizes)
  const { blocks, levels } = blocksFor(model, facts, request, parts)
  if (request.cuts !== undefined) checkCuts(request.cuts, blocks)
  const { out, measured = false } = request
  const writing = { facts, blocks, signal, out }
  const decideFor = (banned: ReadonlySet<number>): Decision =>
    request.cuts === undefined
      ? decide(blocks, { parts, memoryLimit: request.memoryLimit, paces: request.paces, banned })
      : decideCuts(blocks, request.cuts, request.memoryLimit)
  if (request.check === false) {
    const decision = decideFor(new Set())
    needs.progress?.('write')
    const options = request.wire === 'f16' ? ROUNDED : { halfAsFloat: true }
    const written = await writeParts(writing, decision.chosen.cuts, options)
    return planOf(blocks, decision, { optimization: levels.at(-1)!, written, options, result: null })
  }
  const bindable = bindableForm(model, facts.types)
  const held = bindable === null ? checked : bindable.apply(model)
  const path = held.graph === read.graph ? file : join(out, WHOLE)
  const whole = { path, inputs: feedsOf(held), outputs: held.graph.outputs.map(({ name }) => name) }
  const written = path === file ? [] : (await writeModel(held, path)).files
  try {
    const spent = patience(needs.clock)
    const work = { ...writing, needs, file, whole, bindable, measured, spent, chance: mayDraw(model) }
    const plan = await provenPlan(work, levels, decideFor, request)
    return request.wire === 'f16' ? await roundedPlan(work, plan) : plan
  } finally {
    for (const each of written) await rm(each.path, { force: true })
  }
}

/** What no rule knows of values that go from node to node is asked of the engine. */
function learntModel(
  needs: Pick<SplitOnnxNeeds, 'check'>,
  model: Model,
  { out, check }: Pick<SplitOnnxRequest, 'out' | 'check'>,
  signal?: AbortSignal,
): Promise<Model> {
  return check === false ? Promise.resolve(model) : learnTypes(model, observer(needs, out, signal))
}

/** In place of what was proven. */
async function roundedPlan(work: ProofWork, plan: SplitPlan): Promise<SplitPlan> {
  const { cuts } = plan.balance
  if (cuts.length === 0) return plan
  await removeFiles(work, plan.files)
  const { partitions, files, temporary } = await writeParts(work, cuts, ROUNDED)
  await removeFiles(work, temporary)
  const check = { kind: 'unchecked', why: 'float32 is rounded to float16 between partitions' } as const
  return { ...plan, partitions, files, halfAsFloat: false, check }
}

function patience(clock: Clock | undefined): () => boolean {
  if (clock === undefined) return () => false
  const until = clock.now() + PATIENCE_MS
  return () => clock.now() >= until
}

/** The first level at which whole and parts agree. */
async function provenPlan(
  work: ProofWork & { readonly file: string },
  levels: readonly Optimization[],
  decideFor: (banned: ReadonlySet<number>) => Decision,
  { cuts, memoryLimit }: SplitOnnxRequest,
): Promise<SplitPlan> {
  const fixed = cuts !== undefined
  let last: Proof | null = null
  for (const optimization of levels) {
    if (last !== null && work.spent() && optimization !== levels.at(-1)) continue
    const { decision, proof } = await proveCuts(work, optimization, decideFor, fixed)
    const kind = proof.result?.kind
    if (kind === 'equal') {
      const first = { decision, proof }
      const moved = work.measured && !fixed ? await rebalance(work, optimization, first, memoryLimit) : first
      return planOf(work.blocks, moved.decision, moved.proof)
    }
    if (proof.result?.kind === 'unchecked' && (proof.result.final === true || optimization === levels.at(-1))) {
      return planOf(work.blocks, decision, { ...proof, optimization: levels.at(-1)! })
    }
    // What was compared and differs tells more than what could not be compared.
    if (last === null || last.result?.kind === 'unchecked' || kind !== 'unchecked') last = proof
    if (kind === 'unrepeatable') break
  }
  await removeFiles(work, last!.written.files)
  throw new OnnxSplitDiffersError(work.file, wordsFor(last!), last!.written.cuts)
}

function partsOf({ parts, cuts }: SplitOnnxRequest): number {
  if (cuts !== undefined && parts !== undefined) {
    throw new OnnxCutsError('parts and cuts exclude each other', { parts, cuts })
  }
  const wanted = cuts === undefined ? (parts ?? DEFAULT_PARTS) : cuts.length + 1
  if (!Number.isSafeInteger(wanted) || wanted < 1 || wanted > MOST_PARTS) {
    throw new OnnxCutsError(`${wanted} is no number of partitions from 1 to ${MOST_PARTS}`, { parts: wanted })
  }
  return wanted
}

function checkCuts(cuts: readonly number[], blocks: Blocks): void {
  const count = blocks.starts.length - 1
  for (const [index, cut] of cuts.entries()) {
    if (!Number.isSafeInteger(cut) || cut < 1 || cut >= count) {
      const range = count === 1 ? 'it has one block' : `blocks are numbered from 0 to ${count - 1}`
      throw new OnnxCutsError(`no partition can begin with block ${cut}: ${range}`, { cut, blocks: count })
    }
    if (index > 0 && cut <= cuts[index - 1]!) {
      throw new OnnxCutsError(`${cut} does not rise after ${cuts[index - 1]!}`, { cuts })
    }
  }
}

/** Blocks that keep fusions whole where there are enough of them; where there are not, the parts run unoptimised. */
function blocksFor(
  model: Model,
  facts: CutFacts,
  { optimization = 'auto', cuts }: SplitOnnxRequest,
  parts: number,
): { readonly blocks: Blocks; readonly levels: readonly Optimization[] } {
  if (optimization !== 'off') {
    const blocks = blocksOf(model, facts, true)
    const levels = optimization === 'auto' ? OPTIMIZATION_LEVELS.toReversed() : [optimization]
    const enough = cuts === undefined ? parts : 2
    if (optimization !== 'auto' || blocks.starts.length > enough) return { blocks, levels }
  }
  return { blocks: blocksOf(model, facts, false), levels: ['off'] }
}

function planOf(blocks: Blocks, decision: Decision, { optimization, written, options, result }: Proof): SplitPlan {
  const { chosen, verdict, why, best } = decision
  return {
    partitions: written.partitions,
    files: written.files,
    blocks: blocks.starts.length - 1,
    optimization,
    halfAsFloat: options.halfAsFloat === true && written.hasHalf,
    balance: chosen,
    check: result,
    ...(verdict === undefined ? {} : { verdict }),
    ...(why === undefined ? {} : { why }),
    ...(best === undefined ? {} : { best }),
  }
}

function wordsFor({ result }: Proof): string {
  switch (result?.kind) {
    case 'differs':
      return `${shown(result.output)} of partition ${result.part} is not the same`
    case 'refused':
      return `the engine refuses partition ${result.part}: ${result.why}`
    case 'unrepeatable':
      return 'the whole gives other results each time that it is run'
    case 'unchecked':
      return `nothing could be compared: ${result.why}`
    default:
      return 'no reason is known'
  }
}
