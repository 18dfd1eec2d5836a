/** Bearer keys. On loopback and on the local socket none is needed, and any that comes is let through unread. */
import type { IncomingMessage } from 'node:http'
import { KeyMissingError, KeyRefusedError, KeyScopeError } from './access-errors.ts'
import type { KeyVerifier, Scope } from './types.ts'

/** Ours are 46 characters; anything longer is not hashed at all. */
const MAX_SECRET = 256

/** The id of the key. `needed` undefined: any valid key will do (so that a stranger cannot tell which routes exist). */
export async function authorize(
  message: IncomingMessage,
  keys: KeyVerifier,
  needed: Scope | undefined,
): Promise<string> {
  const secret = bearerOf(message.headers.authorization)
  if (secret === null) throw new KeyMissingError()
  const found = secret.length > MAX_SECRET ? null : await keys.verify(secret)
  if (found === null) throw new KeyRefusedError()
  if (needed === undefined || found.scopes.includes('admin') || found.scopes.includes(needed)) return found.id ?? ''
  throw new KeyScopeError(needed)
}

export function bearerOf(header: string | undefined): string | null {
  return /^Bearer[ ]+(\S+)$/i.exec(header ?? '')?.[1] ?? null
}
