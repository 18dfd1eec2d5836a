/** `/healthz`, `/readyz`, `/metrics`, `/version`. */
import type { FastifyInstance } from 'fastify'
import { within } from './abortable.ts'
import type { ServerParts } from './server-parts.ts'

export function addHealthRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { needs, init, limits } = parts
  const read = { config: { scope: 'read' } } as const
  app.get('/healthz', { config: { open: true } }, () => ({ status: 'ok' }))
  app.get('/readyz', read, (_request, reply) => {
    const { ready, reasons } = needs.peer.ready()
    return reply.code(ready ? 200 : 503).send({ ready, reasons })
  })
  app.get('/metrics', read, async (_request, reply) => {
    const text = await within(needs.clock, limits.answerMs, 'metrics', needs.peer.metrics())
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
  app.get('/version', read, () => ({ name: 'weft', version: init.version, node: process.version }))
}
