/** Bearer keys. On loopback and on the local socket none is needed, and any that comes is let through unread. */
import type { IncomingMessage } from 'node:http'
import { KeyMissingError, KeyRefusedError, KeyScopeError } from './access-errors.ts'
import type { KeyFacts, KeyVerifier, Scope } from './types.ts'

/** Ours are 46 characters; anything longer is not hashed at all. */
const MAX_SECRET = 256

/** Whose key it is, and what it may. @throws KeyMissingError, KeyRefusedError */
export async function identify(message: IncomingMessage, keys: KeyVerifier): Promise<KeyFacts> {
  const secret = bearerOf(message.headers.authorization)
  if (secret === null) throw new KeyMissingError()
  const found = secret.length > MAX_SECRET ? null : await keys.verify(secret)
  if (found === null) throw new KeyRefusedError()
  return found
}

/** `needed` undefined: any valid key will do, so that a stranger cannot tell which routes exist. @throws KeyScopeError */
export function checkScope({ scopes }: KeyFacts, needed: Scope | undefined): void {
  if (needed !== undefined && !scopes.includes('admin') && !scopes.includes(needed)) throw new KeyScopeError(needed)
}

export function bearerOf(header: string | undefined): string | null {
  return /^Bearer[ ]+(\S+)$/i.exec(header ?? '')?.[1] ?? null
}
