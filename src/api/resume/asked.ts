/** Who asks for an answer, and what chance and the clock gave to it: the same again when it is computed again. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { bearerOf } from '../auth.ts'

/** What an answer has beside its request. */
export interface Given {
  /** Used where the request names none. */
  readonly seed: number
  /** Letters of the answer's own id. */
  readonly answer: string
  /** Seconds since 1970. */
  readonly created: number
}

export interface Asked {
  /** Only the same may go on with the answer. */
  readonly owner: string
  readonly given: Given
  /** The answer was begun before a restart, and the client has its events up to `after`. */
  readonly restored?: { readonly id: string; readonly after: number; readonly digest: string | null }
}

/** Where a request came in. */
export type Entrance = 'socket' | 'loopback' | 'keyed'

/** Keys are compared by their hashes, and those stand in journals: a hash of its own kind, of use for nothing else. */
export function ownerOf(message: IncomingMessage, entrance: Entrance): string {
  if (entrance !== 'keyed') return entrance
  const secret = bearerOf(message.headers.authorization) ?? ''
  return `key:${createHash('sha256').update(`weft answers of ${secret}`).digest('base64url')}`
}
