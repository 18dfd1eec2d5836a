/**
 * Backups on another peer (docs/wire.md): a folder of sealed files goes there file by file, and comes back. Asked and
 * answered one after the other; `request` numbers them.
 */
import * as z from 'zod'
import type { ErrorData } from '../../errors.ts'
import { BackupDamagedError, kdfSchema } from '../../store/index.ts'

export const BACKUP_PROTOCOL = '/weft/backup/1'

export const BACKUP = {
  /** Control: BackupAsk; payload: the file of `add`. */
  ask: 91,
  /** Control: `names`, or nothing; payload: the file of `read`. */
  answer: 92,
  /** Control: ErrorData. */
  error: 93,
} as const

/** Names in one message. */
export const MAX_NAMES = 512

const name = z.string().min(1).max(120)
const names = z.array(name).max(MAX_NAMES)

/** Folders to claim that are named in an answer. */
export const MAX_VAULTS = 64
const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
export const vaultSchema = hex(32)
export const seedSchema = hex(32)

const askSchema = z.discriminatedUnion('do', [
  /** Which of these are not there. */
  z.strictObject({ do: z.literal('missing'), names }),
  /** What is there, behind `after` in the order of the shelf. */
  z.strictObject({ do: z.literal('names'), after: name.optional() }),
  z.strictObject({ do: z.literal('read'), name }),
  z.strictObject({ do: z.literal('add'), name }),
  /** Which folders there are to claim, of one peer or of all, and the keeper's number for the claim. */
  z.strictObject({ do: z.literal('vaults'), of: z.string().max(64).optional() }),
  /** `names` and `read` are of that folder from then on; `proof` is a signature (src/store/backup/claim.ts). */
  z.strictObject({ do: z.literal('claim'), vault: vaultSchema, nonce: hex(32), proof: hex(64) }),
])
export type BackupAsk = z.infer<typeof askSchema>

const answerSchema = z.object({ names: names.optional() })

const vaultsSchema = z.object({
  vaults: z.array(z.object({ vault: vaultSchema, kdf: kdfSchema })).max(MAX_VAULTS),
  nonce: hex(32),
})

/** @throws BackupDamagedError */
export function vaultsOf(control: unknown): z.infer<typeof vaultsSchema> {
  const parsed = vaultsSchema.safeParse(control)
  if (!parsed.success) throw new BackupDamagedError('an answer', 'is malformed')
  return parsed.data
}

const errorSchema = z.object({
  code: z.string().regex(/^WEFT-[A-Z]{3}-\d{3}$/),
  message: z.string().max(4096),
  why: z.string().max(4096).nullable(),
  hint: z.string().max(4096).nullable(),
  details: z.record(z.string(), z.unknown()),
})

/** @throws BackupDamagedError */
export function checkAsk(control: unknown): BackupAsk {
  const parsed = askSchema.safeParse(control)
  if (!parsed.success) throw new BackupDamagedError('a question', 'is malformed')
  return parsed.data
}

/** @throws BackupDamagedError */
export function refusalOf(control: unknown): ErrorData {
  const parsed = errorSchema.safeParse(control)
  if (!parsed.success) throw new BackupDamagedError('a refusal', 'is malformed')
  return parsed.data
}

/** @throws BackupDamagedError */
export function namesOf(control: unknown): readonly string[] {
  const parsed = answerSchema.safeParse(control)
  if (!parsed.success) throw new BackupDamagedError('an answer', 'is malformed')
  return parsed.data.names ?? []
}
