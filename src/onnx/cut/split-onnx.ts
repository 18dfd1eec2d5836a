/** An ONNX file as partitions: read, cut where it is best, written, and proven to give what the whole gives. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OPTIMIZATION_LEVELS } from '../engine.ts'
import type { Optimization } from '../engine.ts'
import { checkModel, inlineFunctions, readModel, shown, writeModel } from '../ir/index.ts'
import type { Model } from '../ir/index.ts'
import { blocksOf } from './blocks.ts'
import type { Blocks } from './blocks.ts'
import type { CheckResult, CheckTask } from './check-task.ts'
import { measureCuts } from './choose.ts'
import { OnnxCutsError, OnnxSplitDiffersError } from './errors.ts'
import { factsOf } from './facts.ts'
import type { NominalSizes } from './facts.ts'
import type { CutFacts } from './types.ts'
import { proveCuts, WHOLE } from './prove.ts'
import type { Proof, ProofWork } from './prove.ts'
import type { SplitPlan } from './split-plan.ts'
import { decide } from './verdict.ts'
import type { Decision } from './verdict.ts'
import { writeParts } from './write-parts.ts'

export interface SplitOnnxNeeds {
  /** `runCheck`, or better `checkInChild`: the engine's optimizer ends the process over some graphs. */
  check(task: CheckTask, signal?: AbortSignal): Promise<CheckResult>
  progress?(step: 'read' | 'cut' | 'write' | 'check'): void
}

export interface SplitOnnxRequest {
  /** A folder that is there, for the files. */
  readonly out: string
  /** @default 2 */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first, in place of `parts`. */
  readonly cuts?: readonly number[] | undefined
  /** Bytes a partition, weights and live values. */
  readonly memoryLimit?: number | undefined
  /**
   * How the parts will run. `auto`: the highest level at which the check finds no difference, and `off` where nothing is
   * checked. With `off`, blocks end at every place where only what can be sent crosses.
   * @default 'auto'
   */
  readonly optimization?: Optimization | 'auto' | undefined
  /** @default true */
  readonly check?: boolean | undefined
  readonly sizes?: NominalSizes | undefined
}

const DEFAULT_PARTS = 2
/** More would be a hop for each: no mesh has them. */
const MOST_PARTS = 1024

/**
 * @throws OnnxCutsError, OnnxMemoryLimitError, OnnxSplitDiffersError when no level and no cut gave equal bits, and what
 * reading, checking and writing throw
 */
export async function splitOnnx(
  needs: SplitOnnxNeeds,
  path: string,
  request: SplitOnnxRequest,
  signal?: AbortSignal,
): Promise<SplitPlan> {
  const parts = partsOf(request)
  needs.progress?.('read')
  const read = await readModel(path)
  const checked = checkModel(read)
  const model = inlineFunctions(checked)
  signal?.throwIfAborted()
  needs.progress?.('cut')
  const facts = factsOf(model, request.sizes)
  const { blocks, levels } = blocksFor(model, facts, request, parts)
  if (request.cuts !== undefined) checkCuts(request.cuts, blocks)
  const repaired = checked.graph !== read.graph
  const work = { needs, path, model, repaired, facts, blocks, signal, out: request.out }
  const decideFor = (banned: ReadonlySet<number>): Decision =>
    request.cuts === undefined
      ? decide(blocks, { parts, memoryLimit: request.memoryLimit, banned })
      : { chosen: measureCuts(blocks, request.cuts) }
  if (request.check === false) {
    const decision = decideFor(new Set())
    needs.progress?.('write')
    const options = { halfAsFloat: true }
    const written = await writeParts(work, decision.chosen.cuts, options)
    return planOf(blocks, decision, { optimization: levels.at(-1)!, written, options, result: null })
  }
  const written = repaired ? (await writeModel(checked, join(request.out, WHOLE))).files : []
  try {
    return await provenPlan(work, levels, decideFor, request.cuts !== undefined)
  } finally {
    for (const file of written) await rm(file.path, { force: true })
  }
}

/** The first level at which whole and parts agree. */
async function provenPlan(
  work: ProofWork,
  levels: readonly Optimization[],
  decideFor: (banned: ReadonlySet<number>) => Decision,
  fixed: boolean,
): Promise<SplitPlan> {
  let last: Proof | null = null
  for (const optimization of levels) {
    const { decision, proof } = await proveCuts(work, optimization, decideFor, fixed)
    const kind = proof.result?.kind
    if (kind === 'equal') return planOf(work.blocks, decision, proof)
    if (kind === 'unchecked' && optimization === levels.at(-1)) return planOf(work.blocks, decision, proof)
    // What was compared and differs tells more than what could not be compared.
    if (last === null || last.result?.kind === 'unchecked' || kind !== 'unchecked') last = proof
    if (kind === 'unrepeatable') break
  }
  await Promise.all(last!.written.files.map((file) => rm(join(work.out, file), { force: true })))
  throw new OnnxSplitDiffersError(work.path, wordsFor(last!), last!.written.cuts)
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
