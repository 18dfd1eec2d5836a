/** Fields of plans that are about their rounds, whatever is summed in them. */
import { z } from 'zod'

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const
const DEFAULT_DEADLINE_MS = 600_000
/** Places in the messages of a round. */
export const MOST_SITES = 4096

/** Milliseconds. */
export function deadlineOf({ deadline }: { readonly deadline?: string | undefined }): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(deadline ?? '')
  return match === null ? DEFAULT_DEADLINE_MS : Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
}

function isWaitable(ms: number): boolean {
  return ms > 0 && ms <= 500 * UNITS.h
}

/** Of the job, and of files and models that are made of it. */
export const planName = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}\p{Cf}/\\]+$/u, 'has a control character or a separator of paths in it')
  .refine((word) => !/^\.|^[0-9a-f]{16}$/.test(word), 'begins with a dot, or looks like the id of a job')

export const ROUND_FIELDS = {
  minimum: z
    .strictObject({ sites: z.int().min(1).max(MOST_SITES).optional(), records: z.int().min(0).optional() })
    .optional(),
  /** Rounds, the last ones, whose messages are kept for auditors by whoever aggregates. @default none */
  transcripts: z.int().min(1).max(10_000).optional(),
  /** How long a round waits for who is missing. @default 10m */
  deadline: z
    .string()
    .regex(/^\d+(?:ms|s|m|h)$/, 'has to be a time, "30s", "10m" or "2h" say')
    // Timers of 32 bits end at 24 days, and fire at once beyond.
    .refine((deadline) => isWaitable(deadlineOf({ deadline })), 'has to be more than 0 and at most 500h')
    .optional(),
} as const
