/** What a session's adapter is in this host: matrices beside those of the layers, or rows before the text. */
import type { HostAdapter } from './adapter-stacks.ts'
import type { HostParts, Segment } from './parts.ts'

export interface Beside {
  /** For a segment with layers. */
  readonly adapter?: HostAdapter
  /** For a segment with the embedding: rows in the boundary's type, of a session's first positions. */
  readonly prompt?: Uint8Array
}

/** One that cannot be loaded fails with the first rows: nobody waits for it before. The head has none. */
export function besideOf(
  parts: Pick<HostParts, 'adapter'>,
  path: string | undefined,
  segment: Segment,
): Promise<Beside> | null {
  if (path === undefined || (segment.decoders.length === 0 && segment.embedding === null)) return null
  const loading = parts.adapter(path, segment)
  loading.catch(() => undefined)
  return loading
}

/**
 * The embedding's rows for positions from `position` on, with those of a soft prompt (Lester et al., arXiv 2104.08691) in
 * their places: what ids came for these counts for nothing.
 */
export function afterPrompt(prompt: Uint8Array, rows: Uint8Array, position: number, rowBytes: number): Uint8Array {
  const from = position * rowBytes
  if (from >= prompt.length) return rows
  const own = Uint8Array.from(rows)
  own.set(prompt.subarray(from, from + rows.length))
  return own
}
