/** The `/api/v1` routes: what the command line and the status page ask. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { within } from '../abortable.ts'
import { SocketOnlyError } from '../access-errors.ts'
import { check } from '../check.ts'
import { backupCallSchema, federatedCallSchema } from '../../peer/index.ts'
import type { RemoveOptions } from '../../peer/index.ts'
import { NoClusterError } from '../../trust/index.ts'
import { NoSuchRouteError } from '../request-errors.ts'
import type { ServerParts } from '../server-parts.ts'
import type { Scope } from '../types.ts'
import { clusterSchema } from './cluster-schema.ts'
import { answerEvents } from './event-stream.ts'
import { answerDeploy, answerImport, answerNetcheck, answerPing, answerTrain, errorLine } from './jobs.ts'
import {
  detokenizeSchema,
  emptySchema,
  inferSchema,
  pinSchema,
  planSchema,
  removeSchema,
  shutdownSchema,
  tokenizeSchema,
  undeploySchema,
} from './request-schema.ts'

const READ = { config: { scope: 'read' satisfies Scope } } as const
const GENERATE = { config: { scope: 'generate' satisfies Scope } } as const
const ADMIN = { config: { scope: 'admin' satisfies Scope } } as const

export function addAdminRoutes(app: FastifyInstance, parts: ServerParts, local: boolean): void {
  addReading(app, parts)
  addJobs(app, parts)
  addInfer(app, parts, local)
  addFederated(app, parts, local)
  addBackups(app, parts, local)
  addChanges(app, parts)
  addCluster(app, parts, local)
  addShutdown(app, parts, local)
}

function addReading(app: FastifyInstance, parts: ServerParts): void {
  const { needs, limits } = parts
  const { peer, clock } = needs
  app.get('/api/v1/state', READ, () => peer.status())
  app.get('/api/v1/events', { ...READ, exposeHeadRoute: false }, (request, reply) =>
    answerEvents(parts, request, reply),
  )
  app.get('/api/v1/traces', READ, () => ({ schema: 'weft.traces/1', traces: peer.traces() }))
  app.get('/api/v1/traces/:request', READ, (request) => {
    const asked = param(request, 'request')
    return peer.trace(asked === 'last' ? undefined : asked)
  })
  app.get('/api/v1/models', READ, async () => ({
    models: await within(clock, limits.answerMs, 'models', peer.models()),
  }))
  app.get('/api/v1/models/*', READ, (request) =>
    within(clock, limits.answerMs, 'a manifest', peer.manifest(param(request, '*'))),
  )
  app.get('/api/v1/errors/:code', READ, (request) => {
    const found = needs.catalogueErrors?.find((one) => one.code === param(request, 'code'))
    if (found === undefined) throw new NoSuchRouteError()
    return found
  })
}

function addJobs(app: FastifyInstance, parts: ServerParts): void {
  const { needs, exchanges } = parts
  const { peer } = needs
  app.post('/api/v1/import', ADMIN, (request, reply) =>
    exchanges.run(request, reply, (exchange) => answerImport(peer, exchange, request.body), errorLine),
  )
  app.post('/api/v1/deploy', ADMIN, (request, reply) =>
    exchanges.run(request, reply, (exchange) => answerDeploy(peer, exchange, request.body), errorLine),
  )
  app.post('/api/v1/ping', READ, (request, reply) =>
    exchanges.run(request, reply, (exchange) => answerPing(peer, exchange, request.body), errorLine),
  )
  app.post('/api/v1/netcheck', ADMIN, (request, reply) =>
    exchanges.run(request, reply, (exchange) => answerNetcheck(peer, exchange, request.body), errorLine),
  )
  app.post('/api/v1/plan', READ, (request, reply) => {
    const { model, request: asked } = check(planSchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => peer.plan(model, asked, signal), errorLine)
  })
  app.post('/api/v1/tokenize', GENERATE, (request, reply) => {
    const { model, input } = check(tokenizeSchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => peer.tokenize(model, input, signal), errorLine)
  })
  app.post('/api/v1/detokenize', GENERATE, (request, reply) => {
    const { model, ids } = check(detokenizeSchema, request.body)
    const work = async (signal: AbortSignal): Promise<object> => ({ text: await peer.detokenize(model, ids, signal) })
    return exchanges.run(request, reply, ({ signal }) => work(signal), errorLine)
  })
}

/** It reads and writes files of this machine, so it is for whoever may do so anyway. */
function addInfer(app: FastifyInstance, parts: ServerParts, local: boolean): void {
  const { needs, exchanges } = parts
  app.post('/api/v1/infer', ADMIN, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    const body = check(inferSchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => needs.peer.inferFiles(body, signal), errorLine)
  })
  app.post('/api/v1/train', ADMIN, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    return exchanges.run(request, reply, (exchange) => answerTrain(needs.peer, exchange, request.body), errorLine)
  })
}

/** Plans and data are files of this machine, and an approval is a person's word: for whoever has the socket. */
function addFederated(app: FastifyInstance, parts: ServerParts, local: boolean): void {
  const { needs, exchanges, limits } = parts
  app.post('/api/v1/fed', { ...ADMIN, bodyLimit: limits.planBytes }, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    const call = check(federatedCallSchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => needs.peer.federated(call, signal), errorLine)
  })
}

/** Folders of this machine, as above. */
function addBackups(app: FastifyInstance, { needs, exchanges }: ServerParts, local: boolean): void {
  app.post('/api/v1/backups', ADMIN, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    const call = check(backupCallSchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => needs.peer.backups(call, signal), errorLine)
  })
}

function addChanges(app: FastifyInstance, parts: ServerParts): void {
  const { needs, exchanges } = parts
  const { peer } = needs
  const done = { ok: true }
  app.delete('/api/v1/models/*', ADMIN, (request, reply) => {
    const work = (signal: AbortSignal): Promise<void> =>
      peer.removeModel(param(request, '*'), removeOptions(request), signal)
    return exchanges.run(request, reply, ({ signal }) => work(signal).then(() => done), errorLine)
  })
  app.post('/api/v1/pin', ADMIN, (request, reply) => {
    const { model, pinned } = check(pinSchema, request.body)
    return exchanges.run(
      request,
      reply,
      ({ signal }) => peer.pinModel(model, pinned, signal).then(() => done),
      errorLine,
    )
  })
  app.post('/api/v1/undeploy', ADMIN, (request, reply) => {
    const { model } = check(undeploySchema, request.body)
    return exchanges.run(request, reply, ({ signal }) => peer.undeploy(model, signal).then(() => done), errorLine)
  })
  for (const [word, admit] of [
    ['approve', true],
    ['deny', false],
  ] as const)
    app.post(`/api/v1/peers/:id/${word}`, ADMIN, async (request) => {
      check(emptySchema, request.body)
      await peer.approve(param(request, 'id'), admit)
      return done
    })
  app.post('/api/v1/peers/:id/trust', ADMIN, async (request) => {
    check(emptySchema, request.body)
    return { ...done, lifted: await peer.trust(param(request, 'id')) }
  })
}

/** Who is in is decided by whoever may use the socket: no key of the HTTP API makes anybody a member. */
function addCluster(app: FastifyInstance, { needs, exchanges }: ServerParts, local: boolean): void {
  app.post('/api/v1/cluster', ADMIN, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    const action = check(clusterSchema, request.body)
    const { cluster, home } = needs.peer
    if (cluster === undefined || cluster === null) throw new NoClusterError(home)
    return exchanges.run(request, reply, () => cluster.run(action), errorLine)
  })
}

/** Answers first, then stops: the caller waits for the process to end, not for this answer. */
function addShutdown(app: FastifyInstance, parts: ServerParts, local: boolean): void {
  const { needs } = parts
  const stop = needs.shutdown ?? ((options) => needs.peer.stop(options))
  app.post('/api/v1/shutdown', ADMIN, (request, reply) => {
    if (!local) throw new SocketOnlyError()
    const drain = check(shutdownSchema, request.body).drain_ms ?? 0
    reply.raw.once('finish', () => {
      stop({ drain }).catch((error: unknown) => needs.logger.error({ err: error }, 'stopping failed'))
    })
    void reply.code(202)
    return { stopping: true, pid: process.pid }
  })
}

function removeOptions(request: FastifyRequest): RemoveOptions {
  return { last: check(removeSchema, request.query).last === 'true' }
}

function param(request: FastifyRequest, key: string): string {
  return (request.params as Record<string, string>)[key] ?? ''
}
