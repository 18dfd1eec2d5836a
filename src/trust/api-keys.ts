/** Keys for the HTTP API: 32 random bytes each, shown once; the home keeps their SHA-256 only. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import type { Clock, RandomSource } from '../util/index.ts'
import { ApiKeyInitError, ApiKeyMissingError } from './api-key-errors.ts'
import {
  API_KEY_SCOPES,
  apiKeyFileStamp,
  changeApiKeyFile,
  MAX_API_KEY_NAME,
  MAX_API_KEYS,
  readApiKeyFile,
} from './api-key-file.ts'
import type { ApiKeyRecord, ApiKeyScope } from './api-key-file.ts'

/** Lets secret scanners and our own redaction recognise a key. */
const PREFIX = 'wk_'
const SECRET_BYTES = 32
const ID_BYTES = 6

export interface ApiKeyInfo {
  /** 12 hex digits; says nothing about the secret. */
  readonly id: string
  readonly name: string
  readonly scopes: readonly ApiKeyScope[]
  readonly created_at: string
  readonly expires_at: string | null
}

export interface ApiKeyInit {
  readonly name: string
  /** @default generate and read */
  readonly scopes?: readonly ApiKeyScope[]
  /** Milliseconds from now; undefined: it does not expire. */
  readonly lifetime?: number
}

export interface ApiKeys {
  /** The secret is in this answer and nowhere else. @throws ApiKeyInitError and those of the file */
  create(init: ApiKeyInit): Promise<ApiKeyInfo & { readonly secret: string }>
  list(): Promise<readonly ApiKeyInfo[]>
  /** @throws ApiKeyMissingError */
  revoke(id: string): Promise<void>
  /**
   * Null when no key that holds has this secret. Compares with every key in constant time, and sees at once what
   * another process has created or revoked.
   */
  verify(secret: string): Promise<ApiKeyInfo | null>
  /** Whether the key of this id is there and has not expired; as `verify`, at once. */
  holds(id: string): Promise<boolean>
}

export interface ApiKeysNeeds {
  readonly clock: Clock
  readonly random: RandomSource
}

/** `directory`: the keys folder of a home. No I/O until it is asked. */
export function createApiKeys(needs: ApiKeysNeeds, init: { readonly directory: string }): ApiKeys {
  const path = join(init.directory, 'api-keys.json')
  let known: { readonly stamp: string | null; readonly keys: readonly ApiKeyRecord[] } | undefined

  const current = async (): Promise<readonly ApiKeyRecord[]> => {
    const stamp = await apiKeyFileStamp(path)
    if (known?.stamp !== stamp) known = { stamp, keys: await readApiKeyFile(path) }
    return known.keys
  }
  const isOver = ({ expires_at: end }: ApiKeyRecord): boolean => end !== null && Date.parse(end) <= needs.clock.wall()
  return {
    create: async (wanted) => {
      const { secret, record } = newKey(needs, wanted)
      await changeApiKeyFile(needs.clock, path, (keys) => {
        if (keys.length >= MAX_API_KEYS) throw new ApiKeyInitError(`there are ${keys.length} keys already`)
        return [...keys, record]
      })
      return { ...infoOf(record), secret }
    },
    list: async () => (await readApiKeyFile(path)).map(infoOf),
    revoke: (id) =>
      changeApiKeyFile(needs.clock, path, (keys) => {
        const kept = keys.filter((key) => key.id !== id)
        if (kept.length === keys.length) throw new ApiKeyMissingError(id)
        return kept
      }),
    verify: async (secret) => {
      const found = findKey(await current(), secret)
      return found === null || isOver(found) ? null : infoOf(found)
    },
    holds: async (id) => {
      const found = (await current()).find((key) => key.id === id)
      return found !== undefined && !isOver(found)
    },
  }
}

/** Looks at every key, found or not: the time says nothing about how near a guess was. */
function findKey(keys: readonly ApiKeyRecord[], secret: string): ApiKeyRecord | null {
  const wanted = createHash('sha256').update(secret).digest()
  let found: ApiKeyRecord | null = null
  for (const key of keys) if (timingSafeEqual(Buffer.from(key.sha256, 'hex'), wanted)) found = key
  return found
}

function newKey(needs: ApiKeysNeeds, init: ApiKeyInit): { secret: string; record: ApiKeyRecord } {
  const name = init.name.trim()
  if (name === '' || name.length > MAX_API_KEY_NAME)
    throw new ApiKeyInitError(`a name has 1 to ${MAX_API_KEY_NAME} letters`)
  const scopes = [...new Set(init.scopes ?? (['generate', 'read'] as const))]
  if (scopes.length === 0 || scopes.some((scope) => !API_KEY_SCOPES.includes(scope)))
    throw new ApiKeyInitError(`scopes are ${API_KEY_SCOPES.join(', ')}`)
  const now = needs.clock.wall()
  const secret = PREFIX + Buffer.from(needs.random.bytes(SECRET_BYTES)).toString('base64url')
  return {
    secret,
    record: {
      id: Buffer.from(needs.random.bytes(ID_BYTES)).toString('hex'),
      name,
      sha256: createHash('sha256').update(secret).digest('hex'),
      scopes,
      created_at: new Date(now).toISOString(),
      expires_at: expiryOf(now, init.lifetime),
    },
  }
}

/** The last instant that a Date can hold. */
const MAX_TIME = 8.64e15

function expiryOf(now: number, lifetime: number | undefined): string | null {
  if (lifetime === undefined) return null
  if (!(lifetime > 0) || now + lifetime > MAX_TIME) throw new ApiKeyInitError('the expiry must lie in the future')
  return new Date(now + lifetime).toISOString()
}

function infoOf({ id, name, scopes, created_at, expires_at }: ApiKeyRecord): ApiKeyInfo {
  return { id, name, scopes, created_at, expires_at }
}
