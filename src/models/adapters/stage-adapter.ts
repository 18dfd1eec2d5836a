/** An adapter that somebody else made, read and written anew: what a child process does with it. */
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import type { DecoderShape } from '../manifest.ts'
import { readAdapterGguf } from './gguf-adapter.ts'
import { readAdapter, writeAdapter } from './peft.ts'
import type { Adapter } from './peft.ts'

/** JSON-safe: it crosses to a child. */
export interface AdapterJob {
  /** A folder in PEFT's layout, or a GGUF file. */
  readonly adapter: string
  readonly isFile: boolean
  /** The model that it is for. */
  readonly base: string
  readonly shape: DecoderShape
  /** An empty folder, which gets it in PEFT's layout. */
  readonly into: string
}

/** JSON-safe. */
export interface AdapterSummary {
  readonly kind: Adapter['kind']
  /** Of low-rank ones. */
  readonly rank: number | null
  /** Of soft prompts. */
  readonly tokens: number | null
  readonly parts: readonly AdaptedPart[]
}

/**
 * What lies in `into` afterwards was written here: of the file come numbers of known sizes, and nothing else.
 * @throws AdapterFileError, ModelFileError, SourceFileError, DiskFullError, StoreUnwritableError
 */
export async function stageAdapter({
  adapter: source,
  isFile,
  base,
  shape,
  into,
}: AdapterJob): Promise<AdapterSummary> {
  const adapter = await (isFile ? readAdapterGguf(source, base, shape) : readAdapter(source, shape))
  await writeAdapter(into, shape, base, adapter)
  return summaryOf(adapter)
}

export function summaryOf(adapter: Adapter): AdapterSummary {
  const { kind } = adapter
  if (kind === 'prompt') return { kind, rank: null, tokens: adapter.tokens, parts: [] }
  return { kind, rank: adapter.rank, tokens: null, parts: adapter.parts }
}
