/** One request that makes the peer work: its place, its signal, and its answer, streamed or whole. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { Admission } from './admission.ts'
import { publicError } from './error-body.ts'
import { ClientGoneError, ClientStalledError, ShuttingDownError } from './errors.ts'
import type { ApiLimits } from './limits.ts'
import { setHeaders } from './reply-headers.ts'
import { createStreamWriter } from './stream-writer.ts'
import type { StreamWriter } from './stream-writer.ts'

export interface Exchange {
  /** Fires when the client closes its connection, or the API is closed. */
  readonly signal: AbortSignal
  /** A header of the answer; once a stream has begun, a trailer. */
  header(name: string, value: string): void
  /** Sends the head and begins a stream. `trailers`: headers that are not known yet and come behind it. */
  stream(kind: 'sse' | 'jsonl', trailers?: readonly string[]): StreamWriter
  /** The head has gone out: an error can only be told inside the stream. */
  streaming(): StreamWriter | null
}

/** Returns the whole answer, or undefined when it has streamed. Errors before the stream become an HTTP status. */
export type Work = (exchange: Exchange) => Promise<unknown>

export interface Exchanges {
  run(request: FastifyRequest, reply: FastifyReply, work: Work, onLateError: LateError): Promise<unknown>
  /** Seconds after which whoever was refused should come again. */
  again(): number
  /** Takes no more; what is in flight goes on. */
  refuse(): void
  /** Aborts all that is in flight. */
  abortAll(): void
  /** Resolves when nothing is in flight, and all answers have been sent. */
  idle(): Promise<void>
}

/** How a format tells an error after its stream has begun. */
export type LateError = (error: unknown) => string

export interface ExchangesNeeds {
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly logger: Logger
  readonly admission: Admission
  readonly limits: ApiLimits
}

export function createExchanges(needs: ExchangesNeeds): Exchanges {
  const active = new Set<AbortController>()
  const waiting = new Set<() => void>()
  let closing = false
  return {
    again: () => needs.admission.again(),
    refuse: () => {
      closing = true
    },
    abortAll: () => {
      for (const controller of active) controller.abort(new ShuttingDownError())
    },
    idle: async () => {
      if (active.size > 0) await new Promise<void>((resolve) => waiting.add(resolve))
    },
    run: async (request, reply, work, onLateError) => {
      if (closing) throw new ShuttingDownError()
      const leave = needs.admission.enter(addressOf(request))
      const controller = new AbortController()
      active.add(controller)
      watchClient(needs, reply, controller)
      const exchange = createExchange(needs, reply, controller.signal)
      try {
        return await work(exchange)
      } catch (error) {
        const writer = exchange.streaming()
        if (writer === null) throw error
        await endLate(needs, writer, error, onLateError)
        return undefined
      } finally {
        leave()
        // Not before the last byte is out: a connection that looks idle is closed when the API closes.
        whenClosed(reply, () => {
          active.delete(controller)
          if (active.size === 0) for (const resolve of waiting) resolve()
        })
      }
    },
  }
}

/** Callers over the local socket have no address. */
function addressOf(request: FastifyRequest): string {
  return request.raw.socket.remoteAddress ?? 'local'
}

function watchClient(needs: ExchangesNeeds, reply: FastifyReply, controller: AbortController): void {
  reply.raw.once('close', () => {
    if (reply.raw.writableFinished) return
    needs.telemetry.count('http_clients_gone')
    controller.abort(new ClientGoneError())
  })
}

function whenClosed(reply: FastifyReply, action: () => void): void {
  if (reply.raw.closed) action()
  else reply.raw.once('close', action)
}

function createExchange(needs: ExchangesNeeds, reply: FastifyReply, signal: AbortSignal): Exchange {
  let writer: StreamWriter | null = null
  return {
    signal,
    header: (name, value) => {
      if (writer === null) void reply.header(name, value)
      else reply.raw.addTrailers({ [name]: value })
    },
    streaming: () => writer,
    stream: (kind, trailers = []) => {
      // HTTP/1.0 has none, and Node refuses to announce them there.
      if (writer === null && trailers.length > 0 && reply.request.raw.httpVersion !== '1.0')
        void reply.header('trailer', trailers.join(', '))
      writer ??= beginStream(needs, reply, kind)
      return writer
    },
  }
}

function beginStream(needs: ExchangesNeeds, reply: FastifyReply, kind: 'sse' | 'jsonl'): StreamWriter {
  const { limits, clock, telemetry } = needs
  reply.hijack()
  const type = kind === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8'
  reply.raw.writeHead(200, { ...setHeaders(reply), 'content-type': type, 'x-accel-buffering': 'no' })
  reply.raw.flushHeaders()
  const comment = { text: ': keep-alive\n\n', afterMs: limits.keepAliveCommentMs }
  const writer = createStreamWriter(clock, reply.raw, {
    stallMs: limits.stallMs,
    ...(kind === 'sse' ? { comment } : {}),
  })
  return {
    end: () => writer.end(),
    write: async (text) => {
      try {
        await writer.write(text)
      } catch (error) {
        if (error instanceof ClientStalledError) telemetry.count('http_clients_stalled')
        throw error
      }
    },
  }
}

async function endLate(needs: ExchangesNeeds, writer: StreamWriter, error: unknown, late: LateError): Promise<void> {
  const gone = error instanceof ClientGoneError || error instanceof ClientStalledError
  if (!gone) needs.logger.warn({ err: error }, 'a streamed answer ended with an error')
  try {
    await writer.write(late(publicError(error)))
  } catch {
    // Nobody is left to read it.
  }
  writer.end()
}
