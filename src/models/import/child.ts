/** The child process that opens a model file, as its parent sees it. */
import { fileURLToPath } from 'node:url'
import { ForwardedError, UnexpectedError } from '../../errors.ts'
import type { ErrorData } from '../../errors.ts'
import { createBlobStore, isAddress, STORE_ERRORS } from '../../store/index.ts'
import { runGuarded } from '../../util/index.ts'
import type { Clock, GuardedEnd, GuardedInit } from '../../util/index.ts'
import { ADAPTER_ERRORS } from '../adapters/errors.ts'
import type { AdapterJob, AdapterSummary } from '../adapters/stage-adapter.ts'
import { BUNDLE_ERRORS } from '../bundle/errors.ts'
import type { StoreBundleJob, StoredBundle } from '../bundle/store-bundle.ts'
import type { StoredGraph, StoreGraphJob } from '../graph/store-graph.ts'
import { CUT_ERRORS, ONNX_ERRORS } from '../../onnx/index.ts'
import { ImportMemoryError, ImportProcessError, ImportSilentError, MODELS_ERRORS } from '../errors.ts'
import { TOKENIZER_ERRORS } from '../tokenizer/errors.ts'
import type { GraphOutline } from '../graph/outline-graph.ts'
import type { ModelOutline, OutlineJob } from './outline.ts'
import type { ImportEvent, ImportTask } from './protocol.ts'
import type { StoredFile, StoreFileEvents, StoreFileJob } from './store-file.ts'

export interface ChildNeeds {
  readonly clock: Clock
  /** Folder of the store that `store` is: the child writes into it. */
  readonly storeDirectory: string
  /** Folder in which Node keeps the child's compiled program; of this user alone. */
  readonly codeCache: string
  /** A child was started, or ended before its work was. */
  readonly onChild?: (what: ChildEvent) => void
  /** @default IMPORT_MEMORY and IMPORT_SILENCE_MS */
  readonly limits?: ChildLimits
}

export type ChildEvent = { readonly type: 'started'; readonly pid: number } | { readonly type: GuardedEnd['why'] }

export interface ChildLimits {
  readonly memory?: number
  readonly silence?: number
}

/**
 * Bytes that a child may hold to read a file. The largest vocabularies in use (262,144 tokens, half a million merges) take
 * 0.4 GB with Node itself; the tensors pass through in pieces of 1 MiB.
 */
export const IMPORT_MEMORY = 1 << 30
/**
 * Without a word for so long, a child is wedged. The longest wait of a sound one is for a large tensor to reach the disk:
 * 4 GB (262,144 x 8,192 in BF16) on a card that writes 20 MB/s take 200 s.
 */
export const IMPORT_SILENCE_MS = 300_000

const KNOWN = new Map(
  [
    ...MODELS_ERRORS,
    ...ADAPTER_ERRORS,
    ...BUNDLE_ERRORS,
    ...TOKENIZER_ERRORS,
    ...STORE_ERRORS,
    ...ONNX_ERRORS,
    ...CUT_ERRORS,
  ].map((info) => [info.code, info]),
)

/** As `storeModelFile`, in a child process; what the child was writing when it was ended is removed. */
export async function storeInChild(
  needs: ChildNeeds,
  job: StoreFileJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredFile> {
  return (await storeWith(needs, job, 'reading the model file', events, signal)) as StoredFile
}

/** As `storeBundle`, likewise. */
export async function storeBundleInChild(
  needs: ChildNeeds,
  job: StoreBundleJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredBundle> {
  return (await storeWith(needs, job, 'reading the bundle', events, signal)) as StoredBundle
}

/** As `storeGraph`, likewise. */
export async function storeGraphInChild(
  needs: ChildNeeds,
  job: StoreGraphJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredGraph> {
  return (await storeWith(needs, job, 'reading the ONNX file', events, signal)) as StoredGraph
}

/** As `outlineAny`, in a child process. */
export async function outlineInChild(
  needs: Pick<ChildNeeds, 'clock' | 'codeCache' | 'onChild' | 'limits'>,
  job: OutlineJob,
  signal?: AbortSignal,
): Promise<ModelOutline | GraphOutline> {
  const input: ImportTask = { job }
  return (await runInChild(needs, { program: program(), input, what: 'reading the model file' }, signal)) as
    | ModelOutline
    | GraphOutline
}

/** A float32 for each half that a file has, once from it and once on its way to the other file, beside the file's own bytes. */
const MEMORY_OF_ADAPTER = 6

/** As `stageAdapter`, in a child process. @param bytes that the adapter's files have */
export async function stageAdapterInChild(
  needs: Pick<ChildNeeds, 'clock' | 'codeCache' | 'onChild' | 'limits'>,
  job: AdapterJob,
  bytes: number,
  signal?: AbortSignal,
): Promise<AdapterSummary> {
  const input: ImportTask = { job }
  const memory = IMPORT_MEMORY + MEMORY_OF_ADAPTER * bytes
  const work = { program: program(), input, what: 'reading the adapter', memory }
  return (await runInChild(needs, work, signal)) as AdapterSummary
}

async function storeWith(
  needs: ChildNeeds,
  job: StoreFileJob | StoreBundleJob | StoreGraphJob,
  what: string,
  events: StoreFileEvents,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const input: ImportTask = { storeDirectory: needs.storeDirectory, job }
  const onEvent = (event: unknown): void => {
    const told = event as ImportEvent
    if (told.type === 'added') {
      if (isAddress(told.address)) events.added(told.address)
    } else if (signal?.aborted !== true) events.progress(told.done, told.total)
  }
  let whole = false
  try {
    const value = await runInChild(needs, { program: program(), input, what, onEvent }, signal)
    whole = true
    return value
  } finally {
    // Opening a store removes the files that dead processes were writing.
    if (!whole) await createBlobStore({ directory: needs.storeDirectory }).catch(() => undefined)
  }
}

export interface ChildWork extends Pick<GuardedInit, 'program' | 'input' | 'onEvent'> {
  /** As a message has it: `reading the model file`. */
  readonly what: string
  /** Bytes. @default IMPORT_MEMORY */
  readonly memory?: number
}

/**
 * Runs a part of an import in a child; errors come out under their own codes.
 * @throws ImportMemoryError, ImportSilentError, ImportProcessError, ForwardedError, the signal's reason
 */
export async function runInChild(
  needs: Pick<ChildNeeds, 'clock' | 'codeCache' | 'onChild' | 'limits'>,
  work: ChildWork,
  signal?: AbortSignal,
): Promise<unknown> {
  const { onChild, limits = {} } = needs
  const memory = limits.memory ?? work.memory ?? IMPORT_MEMORY
  const silence = limits.silence ?? IMPORT_SILENCE_MS
  const outcome = await runGuarded(
    needs,
    {
      program: work.program,
      input: work.input,
      memory,
      silence,
      codeCache: needs.codeCache,
      ...(work.onEvent === undefined ? {} : { onEvent: work.onEvent }),
      onStart: (pid) => onChild?.({ type: 'started', pid }),
    },
    signal,
  )
  if (outcome.kind === 'result') return outcome.value
  if (outcome.kind === 'error') throw forwarded(outcome.error)
  onChild?.({ type: outcome.end.why })
  if (outcome.end.why === 'memory') throw new ImportMemoryError(work.what, memory, outcome.end)
  if (outcome.end.why === 'silence') throw new ImportSilentError(work.what, silence, outcome.end)
  throw new ImportProcessError(work.what, outcome.end)
}

function forwarded(data: ErrorData): Error {
  const info = KNOWN.get(data.code)
  return info === undefined ? new UnexpectedError(data.message) : new ForwardedError(info, data)
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function program(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}
