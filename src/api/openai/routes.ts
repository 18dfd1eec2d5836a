/** The `/v1` routes that do not stream. */
import type { FastifyInstance } from 'fastify'
import { within } from '../abortable.ts'
import type { ServerParts } from '../server-parts.ts'
import { answerEmbeddings } from './embeddings.ts'
import { sseError } from './generation.ts'
import { getModel, listModels } from './models.ts'

export function addOpenAiRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { needs, limits, exchanges, openAi, started } = parts
  const config = { scope: 'generate' } as const
  const quick = <Value>(what: string, work: Promise<Value>): Promise<Value> =>
    within(needs.clock, limits.answerMs, what, work)

  app.get('/v1/models', { config }, () => quick('models', listModels(needs.peer, started)))
  app.get('/v1/models/*', { config }, (request) =>
    quick('models', getModel(needs.peer, started, (request.params as { '*': string })['*'])),
  )
  app.post('/v1/embeddings', { config, bodyLimit: limits.embeddingBytes }, (request, reply) =>
    exchanges.run(request, reply, (exchange) => answerEmbeddings(openAi, exchange, request.body), sseError),
  )
}
