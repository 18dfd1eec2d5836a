/** How an event of each kind of stream carries its number. */
import { eventId } from './event-id.ts'

export type StreamKind = 'sse' | 'jsonl'

/**
 * The text with its id; null for what passes by and is not kept, since an answer that is computed again may have others
 * of it: comments, and lines that tell of work and ways.
 */
export type Numbering = (text: string, request: string, number: number) => string | null

const KEPT_LINE = /^\{"type":"(?:start|token|end)"/

export const NUMBERING: Readonly<Record<StreamKind, Numbering>> = {
  sse: (text, request, number) => (text.startsWith(':') ? null : `id: ${eventId(request, number)}\n${text}`),
  // The request stands in the head: a line would be twice as long with it.
  jsonl: (text, _request, number) => (KEPT_LINE.test(text) ? `${text.slice(0, -2)},"n":${number}}\n` : null),
}
