/** `GET /api/v1/events`: what happens in the mesh, as server-sent events with ids; a reader that comes back catches up. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BusEvent } from '../../telemetry/index.ts'
import { setHeaders } from '../reply-headers.ts'
import type { ServerParts } from '../server-parts.ts'
import { createStreamWriter } from '../stream-writer.ts'
import type { StreamWriter } from '../stream-writer.ts'

/** Events waiting for one reader; one that is so far behind is cut and comes back with its Last-Event-ID. */
const MAX_WAITING = 1_024
/** What a browser waits before it connects again, milliseconds. */
const RETRY_MS = 2_000

export function answerEvents(parts: ServerParts, request: FastifyRequest, reply: FastifyReply): void {
  const { limits, events, eventStreams, needs } = parts
  const leave = eventStreams.add(() => reader.end())
  reply.hijack()
  reply.raw.writeHead(200, { ...setHeaders(reply), 'content-type': 'text/event-stream; charset=utf-8' })
  reply.raw.flushHeaders()
  const writer = createStreamWriter(needs.clock, reply.raw, {
    stallMs: limits.stallMs,
    comment: { text: ': keep-alive\n\n', afterMs: limits.keepAliveCommentMs },
  })
  const reader = createReader(writer, () => reply.raw.destroy())
  const since = request.headers['last-event-id']
  const replay = events.since(typeof since === 'string' ? since : undefined)
  const unsubscribe = events.subscribe((event) => reader.push(eventText(event)))
  reply.raw.once('close', () => {
    unsubscribe()
    leave()
    reader.end()
  })
  reader.push(`retry: ${RETRY_MS}\n\n`)
  // A reader that missed more than is remembered has to ask for the whole state again.
  if (!replay.complete) reader.push('event: reset\ndata: {}\n\n')
  for (const event of replay.events) reader.push(eventText(event))
}

interface Reader {
  push(text: string): void
  end(): void
}

/** Writes one after another, waiting for the client; `cut` ends one that is too far behind. */
function createReader(writer: StreamWriter, cut: () => void): Reader {
  const waiting: string[] = []
  const state = { ended: false, pumping: false }
  const pump = async (): Promise<void> => {
    if (state.pumping) return
    state.pumping = true
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await writer.write(next)
    state.pumping = false
  }
  return {
    push: (text) => {
      if (state.ended) return
      if (waiting.length >= MAX_WAITING) {
        cut()
        return
      }
      waiting.push(text)
      pump().catch(cut)
    },
    end: () => {
      state.ended = true
      waiting.length = 0
      writer.end()
    },
  }
}

function eventText({ id, event, at, data }: BusEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify({ event, at, data })}\n\n`
}
