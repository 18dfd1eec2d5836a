/**
 * Backups on another peer (docs/wire.md): a folder of sealed files goes there file by file, and comes back. Asked and
 * answered one after the other; `request` numbers them.
 */
import * as z from 'zod'
import type { ErrorData } from '../../errors.ts'
import { BackupDamagedError } from '../../store/index.ts'

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

const askSchema = z.discriminatedUnion('do', [
  /** Which of these are not there. */
  z.strictObject({ do: z.literal('missing'), names }),
  /** What is there, behind `after` in the order of the shelf. */
  z.strictObject({ do: z.literal('names'), after: name.optional() }),
  z.strictObject({ do: z.literal('read'), name }),
  z.strictObject({ do: z.literal('add'), name }),
])
export type BackupAsk = z.infer<typeof askSchema>

const answerSchema = z.object({ names: names.optional() })

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
