/** Runs a model whole and as a chain of partitions on the same inputs, and compares every output bit for bit. */
import { createHash } from 'node:crypto'
import type { AnyTensor, Engine, Graph, Optimization } from '../engine.ts'
import { EngineError } from '../errors.ts'
import { shown } from '../ir/index.ts'
import type { ValueInfo } from '../ir/index.ts'
import { feedCases, unfeedable } from './feeds.ts'
import type { Feeds } from './feeds.ts'

export interface CheckNeeds {
  readonly engine: Engine
  readonly signal?: AbortSignal | undefined
  /** A graph has been run on all cases. */
  progress?(): void
}

/** A model on disk, and what goes in and out, by name. */
export interface CheckedModel {
  readonly path: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

interface Recorded {
  readonly feeds: Feeds
  readonly digests: ReadonlyMap<string, string>
  readonly values: ReadonlyMap<string, { readonly type: AnyTensor['type']; readonly rank: number }>
  readonly elements: number
}

/** What the whole model gave. */
export interface WholeRuns {
  readonly optimization: Optimization
  readonly cases: readonly Recorded[]
  /** Why there are no more cases; the engine's words. */
  readonly refused: string | null
}

export type CheckOutcome =
  /** `compared`: elements of all outputs of all cases. `seconds`: processor time of each part for the first case. */
  | {
      readonly kind: 'equal'
      readonly cases: number
      readonly compared: number
      readonly seconds?: readonly number[]
    }
  | { readonly kind: 'differs'; readonly output: string; readonly part: number; readonly case: number }
  /** The engine takes the whole model, and not this part of it. */
  | { readonly kind: 'refused'; readonly part: number; readonly why: string }
  /** Nothing was compared. `final`: nor would it be with less optimization. */
  | { readonly kind: 'unchecked'; readonly why: string; readonly final?: boolean }

const CASES = 2
const MEASURED_RUNS = 4
/** Node takes less than 2 GiB at once. */
const MOST_HASHED = 2 ** 30
/** Nothing hangs on how long such a part takes. */
const NO_WORK_SECONDS = 1e-3

/**
 * Runs the whole model on inputs that are made up, or on `feeds`: cases of different sizes and numbers, as many as the
 * engine accepts, two at the most.
 */
export async function runWhole(
  needs: CheckNeeds,
  whole: { readonly path: string; readonly inputs: readonly ValueInfo[]; readonly outputs: readonly string[] },
  optimization: Optimization,
  feeds?: readonly Feeds[],
): Promise<WholeRuns> {
  const missing = feeds === undefined ? unfeedable(whole.inputs) : null
  const none = (refused: string): WholeRuns => ({ optimization, cases: [], refused })
  if (missing !== null) return none(`no input can be made for ${shown(missing.name)}: the binding takes no such type`)
  const cases: Recorded[] = []
  let refused: string | null = null
  try {
    await withGraph(needs, whole.path, optimization, async (graph) => {
      for (const inputs of feeds ?? feedCases(whole.inputs)) {
        if (cases.length === CASES && feeds === undefined) return
        needs.signal?.throwIfAborted()
        const result = await graph.runAny(inputs, whole.outputs).catch((error: unknown) => {
          refused = wordsOf(error)
          return null
        })
        if (result !== null) cases.push({ feeds: inputs, ...recorded(result) })
        await breath()
      }
    })
  } catch (error) {
    return none(wordsOf(error))
  }
  needs.progress?.()
  return { optimization, cases, refused }
}

/** Runs a chain of partitions on the cases that the whole model took. */
export async function checkPartitions(
  needs: CheckNeeds,
  whole: WholeRuns,
  parts: readonly CheckedModel[],
  options: { readonly optimization?: Optimization; readonly measured?: boolean | undefined } = {},
): Promise<CheckOutcome> {
  const { optimization = whole.optimization, measured = false } = options
  const { cases } = whole
  if (cases.length === 0) return { kind: 'unchecked', why: whole.refused ?? 'the model has no cases' }
  const pools = cases.map(({ feeds }) => new Map(Object.entries(feeds)))
  const last = lastReaders(parts)
  const seconds: number[] = []
  for (const [part, { path, inputs, outputs }] of parts.entries()) {
    const outcome = await withGraph(needs, path, optimization, async (graph): Promise<CheckOutcome | null> => {
      for (const [index, pool] of pools.entries()) {
        needs.signal?.throwIfAborted()
        const results = await graph.runAny(feedsFrom(pool, inputs), outputs)
        for (const [name, tensor] of Object.entries(results)) {
          const expected = cases[index]!.digests.get(name)
          if (expected !== undefined && expected !== digest(tensor)) {
            return { kind: 'differs', output: name, part, case: index }
          }
          if (last.has(name)) pool.set(name, tensor)
        }
        if (measured && index === 0) seconds.push(await secondsOf(graph, feedsFrom(pool, inputs), outputs))
        for (const name of inputs) if (last.get(name) === part) pool.delete(name)
        await breath()
      }
      return null
    }).catch((error: unknown): CheckOutcome => ({ kind: 'refused', part, why: wordsOf(error) }))
    if (outcome !== null) return outcome
    needs.progress?.()
  }
  const given = new Set(parts.flatMap(({ outputs }) => outputs))
  for (const name of cases[0]!.digests.keys()) {
    if (!given.has(name)) return { kind: 'differs', output: name, part: parts.length - 1, case: 0 }
  }
  const compared = cases.reduce((sum, { elements }) => sum + elements, 0)
  return { kind: 'equal', cases: cases.length, compared, ...(measured ? { seconds } : {}) }
}

/** Whether the whole model gives the same, and once more: one that draws random numbers or keeps a state does not. */
export async function isRepeatable(needs: CheckNeeds, path: string, whole: WholeRuns): Promise<boolean> {
  return withGraph(needs, path, whole.optimization, async (graph) => {
    for (const { feeds, digests } of whole.cases) {
      for (let time = 0; time < 2; time++) {
        const again = recorded(await graph.runAny(feeds, [...digests.keys()]))
        for (const [name, expected] of digests) if (again.digests.get(name) !== expected) return false
      }
    }
    return true
  })
}

async function withGraph<T>(
  { engine }: CheckNeeds,
  path: string,
  optimization: Optimization,
  action: (graph: Graph) => Promise<T>,
): Promise<T> {
  const graph = await engine.load(path, { threads: 1, optimization })
  try {
    return await action(graph)
  } finally {
    await graph.release()
  }
}

/** Of the quickest of a few runs; what else the machine does is not in processor time, but in its caches. */
async function secondsOf(graph: Graph, feeds: Feeds, outputs: readonly string[]): Promise<number> {
  let least = Infinity
  for (let run = 0; run < MEASURED_RUNS; run++) {
    const before = process.cpuUsage()
    await graph.runAny(feeds, outputs)
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1e6)
    if (least < NO_WORK_SECONDS) break
  }
  return least
}

function feedsFrom(pool: ReadonlyMap<string, AnyTensor>, names: readonly string[]): Feeds {
  const feeds = Object.create(null) as Record<string, AnyTensor>
  for (const name of names) {
    const tensor = pool.get(name)
    if (tensor !== undefined) feeds[name] = tensor
  }
  return feeds
}

/** The last part that reads each value. */
function lastReaders(parts: readonly CheckedModel[]): ReadonlyMap<string, number> {
  const last = new Map<string, number>()
  for (const [part, { inputs }] of parts.entries()) for (const name of inputs) last.set(name, part)
  return last
}

function recorded(outputs: Readonly<Record<string, AnyTensor>>): Omit<Recorded, 'feeds'> {
  const entries = Object.entries(outputs)
  return {
    digests: new Map(entries.map(([name, tensor]) => [name, digest(tensor)])),
    values: new Map(entries.map(([name, { type, dims }]) => [name, { type, rank: dims.length }])),
    elements: entries.reduce((sum, [, { data }]) => sum + data.length, 0),
  }
}

/** Type, shape and bits: NaNs with their payloads, the sign of zero. */
function digest(tensor: AnyTensor): string {
  const hash = createHash('sha256').update(`${tensor.type}[${tensor.dims.join()}]`)
  if (tensor.type === 'string') hash.update(JSON.stringify(tensor.data))
  else {
    const { buffer, byteOffset, byteLength } = tensor.data
    for (let at = 0; at < byteLength; at += MOST_HASHED) {
      hash.update(new Uint8Array(buffer, byteOffset + at, Math.min(MOST_HASHED, byteLength - at)))
    }
  }
  return hash.digest('hex')
}

/** `run` blocks this thread: signals are seen in between. */
function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** @throws what is not the engine's */
function wordsOf(error: unknown): string {
  if (error instanceof EngineError) return error.why ?? error.message
  throw error
}
