/** `POST /v1/embeddings`: a vector for each text. */
import type { Embeddings } from '../../peer/index.ts'
import { check } from '../check.ts'
import { publicError } from '../error-body.ts'
import type { Exchange } from '../exchange.ts'
import { embeddingSchema, embeddingTexts } from './embedding-schema.ts'
import type { EmbeddingBody } from './embedding-schema.ts'
import type { OpenAiNeeds } from './needs.ts'
import { routeHeader } from './shapes.ts'
import { orAbort } from '../../util/index.ts'

type Needs = Pick<OpenAiNeeds, 'peer' | 'measure'>

export async function answerEmbeddings({ peer, measure }: Needs, exchange: Exchange, body: unknown): Promise<unknown> {
  const fields = check(embeddingSchema, body)
  const { dimensions, model } = fields
  const meter = measure.begin('embeddings')
  let code: string | null = null
  try {
    const options = dimensions === null || dimensions === undefined ? {} : { dimensions }
    const made = await orAbort(peer.embed(model, embeddingTexts(fields), options, exchange.signal), exchange.signal)
    meter.model(model)
    exchange.header('x-weft-route', routeHeader(made.route))
    return answerOf(fields, made)
  } catch (error) {
    code = publicError(error).code
    throw error
  } finally {
    meter.end(code)
  }
}

function answerOf(
  { encoding_format: format, model }: EmbeddingBody,
  { vectors, tokens, route, stats }: Embeddings,
): object {
  const shown = format === 'base64' ? base64 : (vector: Float32Array): number[] => Array.from(vector)
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: shown(vector) })),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    weft: { route, stats },
  }
}

/** float32, little-endian. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, 4 * index)
  return bytes.toString('base64')
}
