/** Fields of plans that are about their rounds, whatever is summed in them. */
import { z } from 'zod'

export const ROUND_FIELDS = {
  minimum: z.strictObject({ sites: z.int().min(1).optional(), records: z.int().min(0).optional() }).optional(),
  /** Rounds, the last ones, whose messages are kept for auditors by whoever aggregates. @default none */
  transcripts: z.int().min(1).max(10_000).optional(),
  /** How long a round waits for who is missing. @default 10m */
  deadline: z
    .string()
    .regex(/^\d+(?:ms|s|m|h)$/)
    .optional(),
} as const
