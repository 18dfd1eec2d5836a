/** `weft split FILE.onnx`: any ONNX file as partitions that chain by name, with the manifest that says how. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { openSplitDirectory, SPLIT_MANIFEST } from '../models/index.ts'
import { balanceOf, OnnxSplitDiffersError } from '../onnx/index.ts'
import type { Balance, Optimization, PlannedPartition, SplitPlan } from '../onnx/index.ts'
import { GraphUncheckedError, splitFile } from '../pipeline/index.ts'
import { WeftError } from '../errors.ts'
import { systemClock } from '../util/index.ts'
import { homePaths, prepareHome } from './home.ts'
import type { SplitInit } from './split.ts'
import type { ProgressSink } from './types.ts'

interface SplitFileEntry {
  readonly file: string
  readonly sha256: string
  readonly bytes: number
}

/** As `weft.split/1` of a language model has them; `from` and `to` say which partition gives and takes a value. */
export interface FilePartition extends SplitFileEntry, Pick<PlannedPartition, 'blocks' | 'inputs'> {
  readonly data?: SplitFileEntry
  /** Bytes of weights, and of values that are alive at once. */
  readonly memory: number
  /** `of_graph`: it is an output of the whole model. */
  readonly outputs: readonly (Omit<PlannedPartition['outputs'][number], 'ofGraph'> & { readonly of_graph: boolean })[]
}

export interface FileSplitManifest {
  readonly schema: 'weft.split/1'
  /** Name of the file, or of the model. */
  readonly model: string
  /** SHA-256 of the file that was cut. */
  readonly digest: string
  readonly license?: string
  /** Blocks of the whole. */
  readonly blocks: number
  /** The level at which the chain gives the bits of the whole, and at which it is to be run. */
  readonly optimization: Optimization
  /** Values of float16 cross as float32. */
  readonly half_as_float: boolean
  readonly partitions: readonly FilePartition[]
  /** Absent: it is one partition. */
  readonly balance?: Balance
  readonly verdict?: 'fewer-parts' | 'do-not-split'
  readonly why?: string
  /** Of a graph that is not split though it could be: the best that can be had. */
  readonly best?: Balance
  /** Absent: the chain was not compared with the whole, `unchecked` says why. */
  readonly check?: { readonly equal: true; readonly runs: number; readonly compared: number }
  readonly unchecked?: string
}

export interface SplitSource {
  readonly path: string
  readonly name: string
  readonly license?: string
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true
}

const STEPS: readonly string[] = ['read', 'cut', 'write', 'check']

/**
 * The chain is proven where it can be, asked for or not, since that decides at which level of optimization it may run;
 * with `check` nothing is written unless it was.
 * @throws SplitTargetError, SplitUnwritableError, OnnxSplitDiffersError, OnnxMemoryLimitError, GraphUncheckedError, what reading and cutting throw
 */
export async function splitFileInto(
  { home, parts, cuts, memory, out, check = false }: SplitInit,
  source: SplitSource,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<FileSplitManifest> {
  const { path, name } = source
  const paths = homePaths(home, process.env)
  await prepareHome(paths)
  const needs = {
    clock: systemClock(),
    codeCache: join(paths.cache, 'code'),
    progress: (step: string) =>
      progress({
        type: 'progress',
        task: `splitting ${name}: ${step}`,
        done: STEPS.indexOf(step),
        total: STEPS.length,
        unit: 'steps',
      }),
  }
  const directory = await openSplitDirectory(out)
  try {
    const { staging } = directory
    const task = { path: resolve(path), out: staging, parts, cuts, memory, optimization: null }
    let differs: string | undefined
    const plan = await splitFile(needs, { ...task, check: true }, signal).catch((error: unknown) => {
      if (check || !(error instanceof WeftError) || error.code !== OnnxSplitDiffersError.info.code) throw error
      differs = error.why ?? error.message
      return splitFile(needs, { ...task, check: false }, signal)
    })
    const unchecked = differs ?? uncheckedBecause(plan)
    if (check && unchecked !== undefined) throw new GraphUncheckedError(name, unchecked)
    const manifest = await manifestOf(source, staging, plan, unchecked)
    await writeFile(join(staging, SPLIT_MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`)
    signal?.throwIfAborted()
    await directory.commit(plan.files)
    return manifest
  } finally {
    await directory.discard()
  }
}

function uncheckedBecause({ check }: SplitPlan): string | undefined {
  if (check?.kind === 'equal') return undefined
  return check?.kind === 'unchecked' ? check.why : 'no reason is known'
}

async function manifestOf(
  { path, name, license }: SplitSource,
  folder: string,
  plan: SplitPlan,
  unchecked: string | undefined,
): Promise<FileSplitManifest> {
  const { check, verdict, why, best, blocks, optimization, halfAsFloat } = plan
  const balance = balanceOf(plan.balance)
  const partitions: FilePartition[] = []
  for (const [part, { file, data, blocks: range, inputs, outputs }] of plan.partitions.entries()) {
    const memory = balance.memory[part]!
    const own = await entryOf(folder, file)
    const weights = data === undefined ? {} : { data: await entryOf(folder, data) }
    const given = outputs.map(({ ofGraph, ...output }) => ({ ...output, of_graph: ofGraph }))
    partitions.push({ ...own, ...weights, blocks: range, memory, inputs, outputs: given })
  }
  return {
    schema: 'weft.split/1',
    model: name,
    digest: await sha256(path),
    ...(license === undefined ? {} : { license }),
    blocks,
    optimization,
    half_as_float: halfAsFloat,
    partitions,
    ...(partitions.length > 1 ? { balance } : {}),
    ...(verdict === undefined ? {} : { verdict }),
    ...(why === undefined ? {} : { why }),
    ...(best === undefined ? {} : { best: balanceOf(best) }),
    ...(check?.kind === 'equal'
      ? { check: { equal: true, runs: check.cases, compared: check.compared } as const }
      : {}),
    ...(unchecked === undefined ? {} : { unchecked }),
  }
}

async function entryOf(folder: string, file: string): Promise<SplitFileEntry> {
  const path = join(folder, file)
  return { file, sha256: await sha256(path), bytes: (await stat(path)).size }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
