/** The HTTP side of one peer: OpenAI's routes, ours, health and the status page, on TCP and on a local socket. */
import { createEvents } from '../telemetry/index.ts'
import { systemRandom } from '../util/index.ts'
import type { CancelTimer } from '../util/index.ts'
import { OverloadedError } from './access-errors.ts'
import { createAdmission } from './admission.ts'
import { loadDashboard } from './dashboard.ts'
import { askOver } from './batches/ask.ts'
import { BatchRunner } from './batches/runner.ts'
import { createExchanges } from './exchange.ts'
import { isLoopbackName } from './guard.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import type { ApiLimits } from './limits.ts'
import { bindSocket, bindTcp } from './listen.ts'
import { watchEventLoop } from './event-loop.ts'
import { createMeasure } from './measure.ts'
import { Streams } from './resume/streams.ts'
import { buildServer } from './server.ts'
import type { HttpServer, Place } from './server.ts'
import type { EventStreams, ServerParts } from './server-parts.ts'
import type { Api, ApiInit, ApiNeeds } from './types.ts'

/** No I/O until it listens. */
export function createApi(needs: ApiNeeds, init: ApiInit): Api {
  const parts = createParts(needs, init)
  const servers: HttpServer[] = []
  const stopEvents = needs.peer.onEvent((event) => parts.events.publish(event))
  const unwatch = watchEventLoop(needs.telemetry)
  let closed: Promise<void> | undefined

  const build = async (place: Place): Promise<HttpServer> =>
    buildServer({ ...parts, dashboard: await loadDashboard() }, place)
  const keep = async (built: HttpServer, bind: () => Promise<unknown>): Promise<void> => {
    try {
      await bind()
      servers.push(built)
    } catch (error) {
      await built.app.close()
      throw error
    }
  }
  const close = async (drain: number): Promise<void> => {
    stopEvents()
    parts.eventStreams.endAll()
    parts.exchanges.refuse()
    await parts.batches?.stop()
    parts.streams.close()
    const ended = servers.map(({ server }) => serverClosed(server))
    for (const { server } of servers) server.closeIdleConnections()
    const timers: CancelTimer[] = []
    // What is left after that is answers on their way out, and clients that never ask or never read.
    const cutSoon = (): void => {
      timers.push(
        needs.clock.after(LAST_BYTES_MS, () => {
          for (const { server } of servers) server.closeAllConnections()
        }),
      )
    }
    timers.push(
      needs.clock.after(drain, () => {
        parts.exchanges.abortAll()
        cutSoon()
      }),
    )
    unwatch()
    await parts.exchanges.idle()
    for (const { server } of servers) server.closeIdleConnections()
    cutSoon()
    await Promise.all(ended)
    for (const cancel of timers) cancel()
    await parts.streams.settled()
    await Promise.all(servers.map(({ app }) => app.close()))
  }
  const closeOnce = (drain: number): Promise<void> => (closed ??= close(drain))
  return {
    listen: async ({ host, port }) => {
      // `localhost` may be two addresses; one is bound, and the same is printed.
      const address = host === 'localhost' ? '127.0.0.1' : host
      const built = await build({ kind: 'tcp', loopback: isLoopbackName(address) })
      let bound = port
      await keep(built, async () => {
        bound = await bindTcp(built.server, { host: address, port })
      })
      const shown = address.includes(':') ? `[${address}]` : address
      return { host: address, port: bound, url: `http://${shown}:${bound}` }
    },
    listenSocket: async (path) => {
      const built = await build({ kind: 'socket' })
      await keep(built, () => bindSocket(built.server, path))
      parts.batches?.start(askOver(path))
    },
    close: (options) => closeOnce(options?.drain ?? 0),
    [Symbol.asyncDispose]: () => closeOnce(0),
  }
}

/** What an answer that is complete may still take to be sent when the API closes. */
const LAST_BYTES_MS = 500

function createParts(needs: ApiNeeds, init: ApiInit): Omit<ServerParts, 'dashboard'> {
  const limits: ApiLimits = { ...DEFAULT_LIMITS, ...init.limits }
  const { clock, telemetry, logger, peer } = needs
  const random = needs.random ?? systemRandom()
  const letters = (bytes: number): string => Buffer.from(random.bytes(bytes)).toString('hex')
  const measure = createMeasure(clock, telemetry)
  const streams = new Streams({ clock, telemetry, random, limits, peer, journal: needs.journal })
  const admission = createAdmission(clock, limits)
  telemetry.gauge('http_in_flight', () => admission.inFlight())
  const created = (): number => Math.floor(clock.wall() / 1000)
  return {
    needs,
    init,
    limits,
    measure,
    exchanges: createExchanges({ clock, telemetry, logger, limits, admission }),
    openAi: {
      peer,
      clock,
      streams,
      measure,
      waitCommentMs: limits.waitCommentMs,
      created,
      id: () => letters(12),
      seed: () => Buffer.from(random.bytes(4)).readUInt32LE(),
    },
    streams,
    batches:
      needs.batches === undefined
        ? undefined
        : new BatchRunner({
            clock,
            telemetry,
            logger,
            book: needs.batches,
            holds: async (key) => (await needs.keys.holds?.(key)) ?? true,
            limits: { bytes: limits.bodyBytes, depth: limits.jsonDepth },
            id: () => letters(12),
          }),
    events: createEvents({ boot: letters(4) }),
    eventStreams: createEventStreams(limits.eventStreams),
    started: created(),
  }
}

function createEventStreams(limit: number): EventStreams {
  const open = new Set<() => void>()
  return {
    add: (end) => {
      if (open.size >= limit) throw new OverloadedError('event streams are open', limit)
      open.add(end)
      return () => open.delete(end)
    },
    endAll: () => {
      for (const end of open) end()
    },
  }
}

function serverClosed(server: HttpServer['server']): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
