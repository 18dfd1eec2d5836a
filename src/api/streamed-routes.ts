/** The routes whose streamed answers outlive a connection: asking, and coming back with `Last-Event-ID`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answerGenerate, errorLine } from './admin/jobs.ts'
import type { Exchange, LateError } from './exchange.ts'
import { parseJsonBody } from './json-body.ts'
import { answerChat } from './openai/chat.ts'
import { answerCompletion } from './openai/completions.ts'
import { sseError } from './openai/generation.ts'
import { ownerOf } from './resume/asked.ts'
import type { Asked, Entrance, Given } from './resume/asked.ts'
import { EventIdMalformedError, StreamUnknownError } from './resume/errors.ts'
import { parseEventId, REQUEST_ID } from './resume/event-id.ts'
import type { EventId } from './resume/event-id.ts'
import type { StreamRoute } from '../peer/index.ts'
import type { ServerParts } from './server-parts.ts'

interface StreamedRoute {
  readonly path: string
  readonly late: LateError
  readonly answer: (exchange: Exchange, body: unknown, asked: Asked) => Promise<unknown>
}

export function addStreamedRoutes(app: FastifyInstance, parts: ServerParts, entrance: Entrance): void {
  const config = { scope: 'generate' } as const
  const routes = streamedRoutes(parts)
  const { seed, id, created } = parts.openAi
  const given = (): Given => ({ seed: seed(), answer: id(), created: created() })
  for (const [route, { path, late, answer }] of Object.entries(routes) as [StreamRoute, StreamedRoute][])
    app.post(path, { config }, async (request, reply) => {
      const owner = ownerOf(request.raw, entrance)
      const last = lastEventId(request)
      if (last !== undefined) return goOn(parts, routes, { request, reply, owner, from: parseEventId(last), route })
      const work = (exchange: Exchange): Promise<unknown> => answer(exchange, request.body, { owner, given: given() })
      return parts.exchanges.run(request, reply, work, late)
    })
  // A browser's EventSource can only GET, and asks for the head of nothing: that would end whoever reads.
  app.get('/v1/streams/:id', { config, exposeHeadRoute: false }, async (request, reply) => {
    const owner = ownerOf(request.raw, entrance)
    return goOn(parts, routes, { request, reply, owner, from: fromPath(request) })
  })
}

function streamedRoutes({ needs, openAi, measure, streams }: ServerParts): Record<StreamRoute, StreamedRoute> {
  const lines = { peer: needs.peer, measure, streams }
  return {
    chat: {
      path: '/v1/chat/completions',
      late: sseError,
      answer: (exchange, body, asked) => answerChat(openAi, exchange, body, asked),
    },
    completions: {
      path: '/v1/completions',
      late: sseError,
      answer: (exchange, body, asked) => answerCompletion(openAi, exchange, body, asked),
    },
    generate: {
      path: '/api/v1/generate',
      late: errorLine,
      answer: (exchange, body, asked) => answerGenerate(lines, exchange, body, asked),
    },
  }
}

interface Return {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly owner: string
  readonly from: EventId
  readonly route?: StreamRoute
}

/** @throws StreamUnknownError, StreamExpiredError, EventAheadError, EventForgottenError, ModelChangedError */
async function goOn(
  parts: ServerParts,
  routes: Record<StreamRoute, StreamedRoute>,
  { request, reply, owner, from, route }: Return,
): Promise<unknown> {
  const { streams, exchanges, limits } = parts
  const after = from.number
  const kept = await streams.find(from.request, owner, route)
  if (kept.kind === 'stream') {
    const { stream } = kept
    // An EventSource connects again after every end, until it is told that there is no more.
    if (stream.isComplete(after)) return reply.code(204).send()
    const work = (exchange: Exchange): Promise<undefined> => streams.resume(exchange, stream, after)
    return exchanges.run(request, reply, work, routes[stream.init.route].late)
  }
  const { given, digest, body, route: found } = kept.entry
  const asked: Asked = { owner, given, restored: { id: from.request, after, digest } }
  const parsed = parseJsonBody(Buffer.from(body), limits.jsonDepth)
  return exchanges.run(request, reply, (exchange) => routes[found].answer(exchange, parsed, asked), routes[found].late)
}

/** Undefined: none came. Some clients send an empty one at first. */
function lastEventId(request: FastifyRequest): string | undefined {
  const last = request.headers['last-event-id']
  return typeof last === 'string' && last !== '' ? last : undefined
}

/** @throws StreamUnknownError, EventIdMalformedError */
function fromPath(request: FastifyRequest): EventId {
  const { id } = request.params as { id: string }
  if (!REQUEST_ID.test(id)) throw new StreamUnknownError()
  const last = lastEventId(request)
  if (last === undefined) return { request: id, number: 0 }
  const from = parseEventId(last)
  if (from.request !== id) throw new EventIdMalformedError()
  return from
}
