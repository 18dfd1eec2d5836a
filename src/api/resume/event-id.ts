/** Ids of the events of an answer, `REQUEST:NUMBER`: what a client that was cut off sends back as `Last-Event-ID`. */
import { EventIdMalformedError } from './errors.ts'

export interface EventId {
  readonly request: string
  /** Of the last event that the client has; 0: it has none. */
  readonly number: number
}

/** Of a request: 128 random bits, which nobody guesses. */
export const REQUEST_ID_BYTES = 16
export const REQUEST_ID: RegExp = /^[\w-]{22}$/
const EVENT_ID = /^([\w-]{22}):(0|[1-9]\d{0,8})$/

export function eventId(request: string, number: number): string {
  return `${request}:${number}`
}

/** @throws EventIdMalformedError */
export function parseEventId(text: string): EventId {
  const [, request, number] = EVENT_ID.exec(text) ?? []
  if (request === undefined) throw new EventIdMalformedError()
  return { request, number: Number(number) }
}
