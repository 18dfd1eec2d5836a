/** Clients that are cut off in mid-answer, and come back for the rest. */
import { expect } from 'vitest'
import { WORDS } from './fake-peer.ts'
import type { FakePeer } from './fake-peer.ts'

export interface StreamEvent {
  /** Null: it has none. */
  readonly id: string | null
  readonly data: string
}

export interface Part {
  readonly status: number
  readonly headers: Headers
  readonly events: StreamEvent[]
  /** `x-weft-request`. */
  readonly request: string
  /** Id of the last event. */
  readonly last: string
}

/** Asks, reads `count` events (all without it), and goes away. */
export async function readPart(
  url: string,
  init: { readonly body?: object; readonly headers?: Record<string, string> },
  count = Infinity,
): Promise<Part> {
  const leave = new AbortController()
  const { body, headers = {} } = init
  const answer = await fetch(url, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    signal: leave.signal,
  })
  expect(answer.status, answer.ok ? '' : await answer.clone().text()).toBe(200)
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const chunk of answer.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true })
      if (count < Infinity && eventsOf(text).length >= count) break
    }
  } finally {
    leave.abort()
  }
  const events = eventsOf(text).slice(0, count)
  const request = answer.headers.get('x-weft-request') ?? ''
  return {
    status: answer.status,
    headers: answer.headers,
    events,
    request,
    last: events.findLast(({ id }) => id !== null)?.id ?? `${request}:0`,
  }
}

export function eventsOf(text: string): StreamEvent[] {
  const whole = text.split('\n\n').slice(0, -1)
  return whole.flatMap((block) => {
    const fields = block.split('\n')
    const data = fields.find((field) => field.startsWith('data: '))?.slice(6)
    const id = fields.find((field) => field.startsWith('id: '))?.slice(4) ?? null
    return data === undefined ? [] : [{ id, data }]
  })
}

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string }; readonly text?: string }[]
}

export function textOf(events: readonly StreamEvent[]): string {
  return events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => (JSON.parse(data) as Chunk).choices?.[0])
    .map((choice) => choice?.delta?.content ?? choice?.text ?? '')
    .join('')
}

/** Numbers of the events: each id is of this request. */
export function numbersOf(part: Pick<Part, 'request' | 'events'>): number[] {
  return part.events.map(({ id }) => {
    const [request, number] = (id ?? '').split(':')
    expect(request).toBe(part.request)
    return Number(number)
  })
}

export const upTo = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

export const TEXT: string = WORDS.slice(0, 6).join('')
/** Role, five tokens (the last comes with the end), the rest, the end, `[DONE]`. */
export const EVENTS = 9

/** The answer stands still before this token until it is let go. */
export function holdAt(peer: FakePeer, token: number): () => void {
  const held = Promise.withResolvers<void>()
  peer.hold = (index, signal) =>
    index !== token
      ? Promise.resolve()
      : new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error))
          void held.promise.then(resolve)
        })
  return () => {
    peer.hold = null
    held.resolve()
  }
}
