/** The body of `POST /v1/embeddings`. */
import { z } from 'zod'
import type { EmbeddingText } from '../../peer/index.ts'
import { name, text, tokenIds, whole } from '../fields.ts'
import { MAX_DIMENSIONS, MAX_EMBEDDING_INPUTS } from '../limits.ts'

/** As with OpenAI, an empty text is refused. */
const someText = text.pipe(z.string().min(1, { error: 'a text must not be empty' }))
const someIds = tokenIds.min(1)
const many = <Schema extends z.ZodType>(one: Schema): z.ZodArray<Schema> =>
  z.array(one).min(1).max(MAX_EMBEDDING_INPUTS)

export const embeddingSchema = z.object({
  model: name,
  input: z.union([someText, many(someText), someIds, many(someIds)], {
    error: `expected a text that is not empty, an array of token ids, or an array of 1 to ${MAX_EMBEDDING_INPUTS} of these`,
  }),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: whole(1, MAX_DIMENSIONS).nullish(),
  /** Read by nobody. */
  user: z.string().nullish(),
})

export type EmbeddingBody = z.output<typeof embeddingSchema>

export function embeddingTexts({ input }: EmbeddingBody): readonly EmbeddingText[] {
  if (typeof input === 'string') return [input]
  const [first] = input
  return typeof first === 'number' ? [input as number[]] : (input as EmbeddingText[])
}
