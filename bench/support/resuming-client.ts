/** A client of a streamed answer that comes back for the rest whenever its connection ends, also where nobody listens for a while. */
import { request } from 'node:http'
import { eventsOf } from '../../test/api/resume-support.ts'
import type { StreamEvent } from '../../test/api/resume-support.ts'
import { socketPath, systemClock } from '../../src/util/index.ts'

const clock = systemClock()
const AGAIN_MS = 200
const LONGEST_MS = 90_000

export interface Streamed {
  readonly events: readonly StreamEvent[]
  /** `x-weft-request`. */
  readonly request: string
  /** Connections that ended before the answer had. */
  readonly resumed: number
}

/**
 * @param home of the peer that is asked
 * @param onCount told of the events so far whenever there are more
 * @throws when there is no end after a minute and a half, or the peer refuses
 */
export async function readThrough(
  home: string,
  body: object,
  onCount: (count: number) => void = () => undefined,
): Promise<Streamed> {
  const events: StreamEvent[] = []
  const until = clock.now() + LONGEST_MS
  let id: string | undefined
  for (let resumed = 0; ; resumed++) {
    const last = id === undefined ? undefined : (events.at(-1)?.id ?? `${id}:0`)
    const part = await readOnce(home, body, last, (all) => onCount(events.length + all.length))
    if (part.status >= 400) throw new Error(`it answers ${part.status}: ${part.text}`)
    id ??= part.request
    events.push(...eventsOf(part.text))
    if (events.at(-1)?.data === '[DONE]') return { events, request: id ?? '', resumed }
    if (clock.now() > until) throw new Error(`no end after ${events.length} events and ${resumed} connections`)
    await clock.sleep(AGAIN_MS)
  }
}

interface Connection {
  /** 0: nobody answered. */
  readonly status: number
  readonly request: string | undefined
  readonly text: string
}

function readOnce(
  home: string,
  body: object,
  last: string | undefined,
  onEvents: (all: readonly StreamEvent[]) => void,
): Promise<Connection> {
  const headers = { 'content-type': 'application/json', ...(last === undefined ? {} : { 'last-event-id': last }) }
  const path = '/v1/completions'
  return new Promise((resolve) => {
    let text = ''
    const asking = request({ socketPath: socketPath(home, process.env), path, method: 'POST', headers }, (answer) => {
      const ended = (): void => {
        const own = answer.headers['x-weft-request']
        resolve({ status: answer.statusCode ?? 0, request: own === undefined ? undefined : String(own), text })
      }
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        onEvents(eventsOf(text))
      })
      answer.on('error', () => undefined)
      answer.on('close', ended)
    })
    asking.on('error', () => resolve({ status: 0, request: undefined, text }))
    asking.end(JSON.stringify(last === undefined ? body : {}))
  })
}
