/**
 * Private keys at rest under a passphrase: scrypt (RFC 7914) makes the key of AES-256-GCM, and what is not secret of the file
 * (whose key it is, how it was sealed) is authenticated with it. One line of JSON, so that it is seen for what it is.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import * as z from 'zod'
import { deriveKey, SCRYPT, SCRYPT_BOUNDS } from '../store/index.ts'
import { canonicalJson } from '../util/index.ts'
import { DamagedKeyFileError } from './errors.ts'
import { readKeyFile } from './key-file.ts'
import { KeyLockedError, PassphraseError, WrongPassphraseError } from './key-errors.ts'

const MIN_PASSPHRASE = 8
/** A key file may stand in place of a passphrase. */
const MAX_PASSPHRASE = 4_096

const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))

const sealedSchema = z.strictObject({
  schema: z.literal('weft.sealed-key/1'),
  /** PeerId of an identity, else what kind of key it is. */
  of: z.string().max(128),
  kdf: z.strictObject({
    name: z.literal('scrypt'),
    N: z
      .number()
      .int()
      .min(SCRYPT_BOUNDS.least)
      .max(SCRYPT_BOUNDS.most)
      .refine((cost) => Number.isInteger(Math.log2(cost))),
    r: z.literal(8),
    p: z.literal(1),
    salt: hex(16),
  }),
  cipher: z.literal('aes-256-gcm'),
  nonce: hex(12),
  data: z.string().regex(/^(?:[0-9a-f]{2}){1,3000}$/),
  tag: hex(16),
})

type Sealed = z.infer<typeof sealedSchema>

/** How an owner opens keys: never written anywhere, and gone with the process. */
export type Passphrase = string

/** @param cost of scrypt, for tests alone. @throws PassphraseError */
export async function sealKey(
  content: Uint8Array,
  of: string,
  passphrase: Passphrase,
  cost: number = SCRYPT.N,
): Promise<Uint8Array> {
  checkPassphrase(passphrase)
  const kdf = { name: 'scrypt', ...SCRYPT, N: cost, salt: randomBytes(16).toString('hex') } as const
  const nonce = randomBytes(12)
  const head = { schema: 'weft.sealed-key/1', of, kdf, cipher: 'aes-256-gcm', nonce: nonce.toString('hex') } as const
  const cipher = createCipheriv('aes-256-gcm', await deriveKey(passphrase, kdf), nonce)
  cipher.setAAD(Buffer.from(canonicalJson(head)))
  const data = Buffer.concat([cipher.update(content), cipher.final()])
  const sealed = { ...head, data: data.toString('hex'), tag: cipher.getAuthTag().toString('hex') }
  return Buffer.from(`${canonicalJson(sealed)}\n`)
}

/** Does it look like a sealed key, rightly or not? */
export function isSealed(content: Uint8Array): boolean {
  return content[0] === 0x7b
}

/** Whose key it is; that is no secret. @throws DamagedKeyFileError */
export function sealedOwner(content: Uint8Array, path: string): string {
  return readSealed(content, path).of
}

/**
 * What a key file holds, sealed or not: whoever needs a private key reads it with this. Undefined: there is no such file.
 * @throws LooseKeyFileError, DamagedKeyFileError, KeyFileAccessError, KeyLockedError, WrongPassphraseError
 */
export async function openKeyFile(path: string, passphrase: Passphrase | undefined): Promise<Uint8Array | undefined> {
  const content = await readKeyFile(path)
  return content !== undefined && isSealed(content) ? openSealed(content, path, passphrase) : content
}

/** @throws KeyLockedError without a passphrase, WrongPassphraseError, DamagedKeyFileError */
export async function openSealed(
  content: Uint8Array,
  path: string,
  passphrase: Passphrase | undefined,
): Promise<Uint8Array> {
  const { data, tag, ...head } = readSealed(content, path)
  if (passphrase === undefined) throw new KeyLockedError(path, head.of)
  const decipher = createDecipheriv(
    'aes-256-gcm',
    await deriveKey(passphrase, head.kdf),
    Buffer.from(head.nonce, 'hex'),
  )
  decipher.setAAD(Buffer.from(canonicalJson(head)))
  decipher.setAuthTag(Buffer.from(tag, 'hex'))
  try {
    return new Uint8Array(Buffer.concat([decipher.update(Buffer.from(data, 'hex')), decipher.final()]))
  } catch (error) {
    throw new WrongPassphraseError(path, error)
  }
}

/** @throws PassphraseError */
export function checkPassphrase(passphrase: string): void {
  const { length } = passphrase
  if (length < MIN_PASSPHRASE)
    throw new PassphraseError(`it has ${length} characters, and ${MIN_PASSPHRASE} are the least`)
  if (length > MAX_PASSPHRASE) throw new PassphraseError(`it has more than ${MAX_PASSPHRASE} characters`)
}

function readSealed(content: Uint8Array, path: string): Sealed {
  try {
    return sealedSchema.parse(JSON.parse(Buffer.from(content).toString('utf8')))
  } catch {
    throw new DamagedKeyFileError(path, 'it begins like a sealed key, and is none')
  }
}
