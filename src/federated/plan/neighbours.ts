/** What a plan may say of who holds shares of whom. */
import { z } from 'zod'

export const neighboursSchema = z.strictObject({
  /** Neighbours of each member: even. */
  degree: z.int().min(4).max(254).multipleOf(2),
  /** Of a member's holders, itself among them, so many restore what it shared. */
  threshold: z.int().min(3).max(255),
})

export type Neighbours = z.output<typeof neighboursSchema>
