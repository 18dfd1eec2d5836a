/**
 * A folder of backups: `weft-backup.json` says how its key is made of the passphrase, `chunks/` holds pieces of files, each
 * encrypted and named by a keyed hash of its content (so that the same piece is kept once, and a name tells nothing), and
 * `snapshots/` one encrypted list for each backup. A list is written last and whole: without it there is no backup, and what
 * was interrupted leaves pieces that the next one uses.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { deriveKey, SCRYPT, SCRYPT_BOUNDS } from '../derive-key.ts'
import { writeFileAtomic } from '../disk.ts'
import { claimPublicKey, claimSeedOf } from './claim.ts'
import { BackupDamagedError, BackupMissingError, BackupPassphraseError } from './errors.ts'
import { needFolders } from '../folders.ts'

const HEADER = 'weft-backup.json'
const SUFFIX = '.weft'
/** Pages of a database that did not change are the same piece again. */
export const PIECE_BYTES = 64 << 10
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Of some 60 GiB. */
export const MAX_LIST_BYTES = 64 << 20

const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))

/** How the key of a folder is made of its passphrase. */
export const kdfSchema = z.strictObject({
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
})

const headerSchema = z.strictObject({
  schema: z.literal('weft.backup/1'),
  id: hex(16),
  kdf: kdfSchema,
  cipher: z.literal('aes-256-gcm'),
  /** Opens with the right passphrase alone. */
  check: z.string().regex(/^[0-9a-f]{56,200}$/),
  /** Public key of whoever may have the folder back from a keeper (claim.ts); folders of older versions have none. */
  claim: hex(32).optional(),
})
export type VaultHeader = z.infer<typeof headerSchema>

export interface Vault {
  readonly directory: string
  /** Keeps a piece, once; its name. */
  put(piece: Uint8Array): Promise<string>
  /** @throws BackupDamagedError */
  get(name: string): Promise<Uint8Array>
  /** Whole or not at all, durable when it resolves. */
  putList(name: string, text: string): Promise<void>
  /** @throws BackupMissingError, BackupDamagedError */
  getList(name: string): Promise<string>
  /** Names of lists, oldest first. */
  lists(): Promise<readonly string[]>
}

/** Whether a folder was begun as one. */
export function isVault(directory: string): boolean {
  return existsSync(join(directory, HEADER))
}

/** @param cost of scrypt, for tests. @throws BackupPassphraseError, BackupDamagedError, BackupMissingError unless `create` */
export async function openVault(
  directory: string,
  passphrase: string,
  { create, cost = SCRYPT.N }: { readonly create: boolean; readonly cost?: number | undefined },
): Promise<Vault> {
  const path = join(directory, HEADER)
  if (!existsSync(path)) {
    if (!create) throw new BackupMissingError(directory, 'backup')
    const begun = await begin(directory, path, passphrase, cost)
    return vaultOf(directory, begun.id, begun.keys)
  }
  const header = await readHeader(path)
  const keys = await keysOf(passphrase, header.kdf)
  try {
    open(keys.seal, Buffer.from(header.check, 'hex'), checkWords(header.id))
  } catch {
    throw new BackupPassphraseError(directory)
  }
  return vaultOf(directory, header.id, keys)
}

interface Keys {
  readonly seal: Buffer
  readonly name: Buffer
  readonly claim: Buffer
}

async function begin(
  directory: string,
  path: string,
  passphrase: string,
  cost: number,
): Promise<{ readonly id: string; readonly keys: Keys }> {
  for (const folder of ['chunks', 'snapshots']) await needFolders(join(directory, folder), 0o700)
  const id = randomBytes(16).toString('hex')
  const kdf = { name: 'scrypt', ...SCRYPT, N: cost, salt: randomBytes(16).toString('hex') } as const
  const keys = await keysOf(passphrase, kdf)
  const check = seal(keys.seal, Buffer.from('weft backup'), checkWords(id)).toString('hex')
  const claim = claimPublicKey(keys.claim)
  const header: VaultHeader = { schema: 'weft.backup/1', id, kdf, cipher: 'aes-256-gcm', check, claim }
  await writeFileAtomic(path, `${JSON.stringify(header, null, 2)}\n`, { mode: 0o600 })
  return { id, keys }
}

const checkWords = (id: string): string => `weft backup check/1 ${id}`

/** @throws BackupDamagedError where there is none that can be read */
export function vaultHeader(directory: string): Promise<VaultHeader> {
  return readHeader(join(directory, HEADER))
}

async function readHeader(path: string): Promise<VaultHeader> {
  try {
    return headerSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    throw new BackupDamagedError(HEADER, 'is none of a backup')
  }
}

async function keysOf(passphrase: string, kdf: VaultHeader['kdf']): Promise<Keys> {
  const master = await deriveKey(passphrase, kdf)
  const made = (words: string): Buffer => Buffer.from(hkdfSync('sha256', master, '', words, 32))
  return { seal: made('weft backup seal/1'), name: made('weft backup name/1'), claim: claimSeedOf(master) }
}

function seal(key: Buffer, content: Uint8Array, words: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(words))
  return Buffer.concat([nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()])
}

function open(key: Buffer, sealed: Buffer, words: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES))
  decipher.setAAD(Buffer.from(words))
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}

function vaultOf(directory: string, id: string, keys: Keys): Vault {
  const pieces = join(directory, 'chunks')
  const snapshots = join(directory, 'snapshots')
  const pathOf = (name: string): string => join(pieces, name.slice(0, 2), name)
  const words = (kind: string, name: string): string => `weft backup ${kind}/1 ${id} ${name}`
  const read = async (path: string, what: string, most: number): Promise<Buffer> => {
    const sealed = await readFile(path).catch(() => undefined)
    if (sealed === undefined) throw new BackupDamagedError(what, 'is missing')
    if (sealed.length < NONCE_BYTES + TAG_BYTES || sealed.length > most)
      throw new BackupDamagedError(what, 'is cut off')
    return sealed
  }
  return {
    directory,
    async put(piece) {
      const name = createHmac('sha256', keys.name).update(piece).digest('hex')
      if (existsSync(pathOf(name))) return name
      await needFolders(join(pieces, name.slice(0, 2)), 0o700)
      await writeFileAtomic(pathOf(name), seal(keys.seal, piece, words('piece', name)), { mode: 0o600 })
      return name
    },
    async get(name) {
      const sealed = await read(pathOf(name), `the piece ${name.slice(0, 12)}`, PIECE_BYTES + NONCE_BYTES + TAG_BYTES)
      try {
        return open(keys.seal, sealed, words('piece', name))
      } catch {
        throw new BackupDamagedError(`the piece ${name.slice(0, 12)}`, 'is not what was written')
      }
    },
    putList: (name, text) =>
      writeFileAtomic(join(snapshots, `${name}${SUFFIX}`), seal(keys.seal, Buffer.from(text), words('list', name)), {
        mode: 0o600,
      }),
    async getList(name) {
      const path = join(snapshots, `${name}${SUFFIX}`)
      if (!existsSync(path)) throw new BackupMissingError(directory, `backup ${name}`)
      const sealed = await read(path, `the list ${name}`, MAX_LIST_BYTES + NONCE_BYTES + TAG_BYTES)
      try {
        return open(keys.seal, sealed, words('list', name)).toString('utf8')
      } catch {
        throw new BackupDamagedError(`the list ${name}`, 'is not what was written')
      }
    },
    async lists() {
      const names = await readdir(snapshots).catch((): string[] => [])
      return names
        .filter((name) => /^[0-9TZ-]+\.weft$/.test(name))
        .map((name) => name.slice(0, -SUFFIX.length))
        .toSorted()
    },
  }
}
