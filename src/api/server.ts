/** One HTTP server with all routes: for TCP with its guards, or for the local socket of one user. */
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addBatchRoutes } from './batches/routes.ts'
import { addAdminRoutes } from './admin/routes.ts'
import { checkScope, identify } from './auth.ts'
import { corsHeaders, preflightHeaders, SECURITY_HEADERS } from './cors.ts'
import { addDashboardRoutes } from './dashboard.ts'
import { guardRequest } from './guard.ts'
import { addHealthRoutes } from './health.ts'
import { parseJsonBody } from './json-body.ts'
import { MAX_NAME_LENGTH } from './limits.ts'
import type { ApiLimits } from './limits.ts'
import { addOpenAiRoutes } from './openai/routes.ts'
import { answerError, onParserError, translateError } from './server-errors.ts'
import { keyIdOf, rememberKey } from './request-key.ts'
import type { Entrance } from './resume/asked.ts'
import { RouteMethods } from './route-methods.ts'
import type { ServerParts } from './server-parts.ts'
import { addStreamedRoutes } from './streamed-routes.ts'
import type { Scope } from './types.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must allow. */
    readonly scope?: Scope
    /** Needs no key anywhere. */
    readonly open?: boolean
  }
}

export type Place =
  /** A Unix socket that only its owner can open. */
  { readonly kind: 'socket' } | { readonly kind: 'tcp'; readonly loopback: boolean }

function entranceOf(place: Place): Entrance {
  if (place.kind === 'socket') return 'socket'
  return place.loopback ? 'loopback' : 'keyed'
}

export interface HttpServer {
  readonly app: FastifyInstance
  readonly server: Server
}

export async function buildServer(parts: ServerParts, place: Place): Promise<HttpServer> {
  const { limits } = parts
  let server: Server | undefined
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    exposeHeadRoutes: true,
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PATH },
    rewriteUrl: (message) => routablePath(message.url ?? ''),
    frameworkErrors: (error, request, reply) => answerError(parts, translateError(error, limits), request, reply),
    clientErrorHandler: (error, socket) => onParserError(error, socket),
    serverFactory: (handler) => {
      server = createHttpServer(handler, limits)
      return server
    },
  })
  addBodies(app, limits)
  addIds(app, parts)
  if (place.kind === 'tcp') addGuards(app, parts, place.loopback)
  addAnswers(app, parts)
  addStrays(app)
  addCalls(app, parts, place)
  addHealthRoutes(app, parts)
  addOpenAiRoutes(app, parts)
  addStreamedRoutes(app, parts, entranceOf(place))
  addBatchRoutes(app, parts, entranceOf(place))
  addAdminRoutes(app, parts, place.kind === 'socket')
  addDashboardRoutes(app, parts.dashboard)
  await app.ready()
  return { app, server: server ?? app.server }
}

/** Longer than any model's name, three bytes an escaped one. */
const MAX_PATH = 3 * MAX_NAME_LENGTH

/** A path that does not decode would be answered before any guard: it becomes one that no route has. */
function routablePath(url: string): string {
  try {
    decodeURIComponent(url.split('?', 1)[0] ?? '')
    return url
  } catch {
    return '/undecodable'
  }
}

function createHttpServer(handler: RequestListener, limits: ApiLimits): Server {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
      keepAlive: true,
      requireHostHeader: true,
    },
    handler,
  )
  server.maxConnections = limits.connections
  server.maxRequestsPerSocket = limits.requestsPerConnection
  // Idle connections make room before a new client is turned away.
  server.on('connection', () => {
    server.getConnections((_error, count) => {
      if (count > limits.connections * 0.75) server.closeIdleConnections()
    })
  })
  return server
}

function addBodies(app: FastifyInstance, limits: ApiLimits): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJsonBody(body as Buffer, limits.jsonDepth))
    } catch (error) {
      done(error as Error)
    }
  })
}

/** First of all hooks: whoever is refused has a number to ask by as well. OpenAI's clients show it. */
function addIds(app: FastifyInstance, { openAi }: ServerParts): void {
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('x-request-id', `req_${openAi.id()}`)
  })
}

/** Runs before routing is known to have found anything, so that unknown paths are guarded alike. */
function addGuards(app: FastifyInstance, parts: ServerParts, loopback: boolean): void {
  const init = { loopback, hosts: parts.init.hosts ?? [], cors: parts.init.cors ?? [] }
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(SECURITY_HEADERS)
    const { foreignOrigin } = guardRequest(request.raw, { ...init, hasRoute: !request.is404 })
    if (foreignOrigin !== null) {
      void reply.headers(corsHeaders(foreignOrigin))
      if (request.method === 'OPTIONS') return reply.code(204).headers(preflightHeaders(foreignOrigin)).send()
    }
    const { open, scope } = request.routeOptions.config
    if (loopback || open === true) return undefined
    const key = await identify(request.raw, parts.needs.keys)
    // Before the scope is looked at: whoever may not do this is known all the same.
    rememberKey(request, key.id)
    checkScope(key, scope)
    return undefined
  })
}

/** Calls that can change something, or were refused it. */
function addCalls(app: FastifyInstance, { needs }: ServerParts, place: Place): void {
  const overTcp = place.kind === 'tcp' && !place.loopback ? 'stranger' : 'local'
  const keyless = place.kind === 'socket' ? 'owner' : overTcp
  const whoOf = (request: FastifyRequest): string => {
    const id = keyIdOf(request)
    return id === undefined ? keyless : `key:${id}`
  }
  const { acting } = needs
  if (acting !== undefined) app.addHook('preHandler', (request, _reply, done) => acting(whoOf(request), done))
  app.addHook('onResponse', async (request, reply) => {
    const { config, url } = request.routeOptions
    if (config.scope !== 'admin' || url === undefined) return
    needs.called?.({ who: whoOf(request), route: url, status: reply.raw.statusCode })
  })
}

function addAnswers(app: FastifyInstance, parts: ServerParts): void {
  const { telemetry, logger, clock } = parts.needs
  const began = new WeakMap<FastifyRequest, number>()
  app.addHook('onRequest', async (request) => {
    began.set(request, clock.now())
  })
  app.addHook('onResponse', async (request, reply) => {
    // The pattern, not the path: paths are of any number and may hold anything.
    const route = request.routeOptions.url ?? 'none'
    const status = reply.raw.statusCode
    telemetry.count('http_requests', 1, { route, status })
    const ms = Math.round(clock.now() - (began.get(request) ?? clock.now()))
    const id = String(reply.getHeader('x-request-id'))
    logger.debug({ id, method: request.method, route, status, ms, address: request.ip }, 'answered')
  })
  app.setErrorHandler((error, request, reply) =>
    answerError(
      parts,
      translateError(error, { ...parts.limits, bodyBytes: request.routeOptions.bodyLimit ?? parts.limits.bodyBytes }),
      request,
      reply,
    ),
  )
}

/** Paths that no route has, or not with this method: refused after the guards, before a body is read or even looked at. */
function addStrays(app: FastifyInstance): void {
  const methods = new RouteMethods()
  app.addHook('onRoute', ({ method, url }) => methods.add(url, method))
  app.addHook('onRequest', async ({ is404, method, url }) => {
    if (is404) throw methods.refusal(method, url)
  })
  // fastify runs the hooks only where it has a handler of ours.
  app.setNotFoundHandler(({ method, url }) => {
    throw methods.refusal(method, url)
  })
}
