/** The field `robust` of a plan. */
import { z } from 'zod'

export const robustSchema = z.strictObject({
  /** That each round has to bear, or is not made. */
  attackers: z.int().min(1).max(1000),
  /** Columns by buckets too, and their median; or one sum of all, which bears nobody. @default sum */
  statistics: z.enum(['sum', 'buckets']).optional(),
})
