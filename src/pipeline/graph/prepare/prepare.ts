/**
 * A model file made ready to be run, in a folder of the cache: what goes in and out, its parts where it is to be cut,
 * the level at which they were proven. Named by the file's hash and the options, so that a second run only reads it.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { MemoryLimit, Optimization, Wire } from '../../../onnx/index.ts'
import { writeFileAtomic } from '../../../store/index.ts'
import { runOnFile } from './child.ts'
import type { FileChildNeeds } from './child.ts'
import { PREPARED_SCHEMA } from './types.ts'
import type { PreparedGraph, PrepareTask } from './types.ts'

export interface PrepareNeeds extends FileChildNeeds {
  /** Folder for what can be made again. */
  readonly cache: string
  /** What computes: another engine or processor may need other cuts. */
  readonly kernel: string
}

export interface PrepareRequest {
  readonly path: string
  readonly parts: number
  /** Blocks that parts begin with, but for the first, in place of a number of them. */
  readonly cuts?: readonly number[] | undefined
  /** Weights and live values of a part. */
  readonly memory?: MemoryLimit | undefined
  /** How fast each part will run, against each other. */
  readonly paces?: readonly number[] | undefined
  /** As what float32 crosses; `f16` rounds it, and the parts do not give the bits of the whole. @default 'f32' */
  readonly wire?: Wire | undefined
  /** Null: the highest that is proven, or where nothing is cut, the engine's highest. */
  readonly optimization: Optimization | null
  /** The parts run side by side on this machine: what they take decides where the cuts are. */
  readonly measured?: boolean | undefined
}

export interface Prepared {
  readonly graph: PreparedGraph
  /** Where its parts lie, and what is learned of it. */
  readonly folder: string
  readonly reused: boolean
}

const FILE = 'prepared.json'

/** @throws what reading, cutting and checking throw, GraphPreparationError, the signal's reason */
export async function prepareGraph(
  needs: PrepareNeeds,
  request: PrepareRequest,
  signal?: AbortSignal,
): Promise<Prepared> {
  const path = await realpath(request.path).catch(() => request.path)
  const root = join(needs.cache, 'graphs')
  const hash = createHash('sha256').update(await hashOf(path, signal))
  hash.update(
    JSON.stringify([
      PREPARED_SCHEMA,
      needs.kernel,
      request.parts,
      request.optimization,
      ...(request.measured === true ? ['measured'] : []),
      ...(request.cuts ?? []),
      ...(request.wire === 'f16' ? ['f16'] : []),
      ...(request.memory === undefined ? [] : [{ memory: request.memory }]),
      ...(request.paces === undefined ? [] : [{ paces: request.paces }]),
    ]),
  )
  const folder = join(root, hash.digest('hex').slice(0, 32))
  const known = await readPrepared(folder, path)
  if (known !== null) return { graph: known, folder, reused: true }
  await mkdir(root, { recursive: true, mode: 0o700 })
  const staging = await mkdtemp(join(root, '.making-'))
  try {
    const task: PrepareTask = { ...request, path, out: staging, codeCache: needs.codeCache }
    const graph = (await runOnFile(needs, 'prepare-main', task, signal)) as PreparedGraph
    await writeFileAtomic(join(staging, FILE), JSON.stringify(graph))
    await rm(folder, { recursive: true, force: true })
    // Another process may have been quicker; its folder is as good.
    await rename(staging, folder).catch(async (error: unknown) => {
      if ((await readPrepared(folder, path)) === null) throw error
    })
    return { graph: located(graph, folder, path), folder, reused: false }
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

async function hashOf(path: string, signal?: AbortSignal): Promise<Buffer> {
  // What cannot be read is told by who reads it next, in its own words.
  const there = await stat(path).catch(() => null)
  if (there?.isFile() !== true) return Buffer.alloc(0)
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, signal === undefined ? {} : { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
  return hash.digest()
}

async function readPrepared(folder: string, path: string): Promise<PreparedGraph | null> {
  try {
    const graph = JSON.parse(await readFile(join(folder, FILE), 'utf8')) as PreparedGraph
    for (const file of graph.external) {
      const { size, mtimeMs } = await stat(file.path)
      if (size !== file.size || mtimeMs !== file.mtimeMs) return null
    }
    return located(graph, folder, path)
  } catch {
    return null
  }
}

/** A model that was not cut is run from its own file, wherever that lies now. */
function located(graph: PreparedGraph, folder: string, path: string): PreparedGraph {
  const one = graph.parts.length === 1
  return { ...graph, parts: graph.parts.map((part) => ({ ...part, file: one ? path : join(folder, part.file) })) }
}
