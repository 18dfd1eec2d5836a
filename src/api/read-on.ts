/**
 * Many clients send a whole body before they look for an answer. A connection that is closed on unread bytes is reset,
 * and the reset takes the answer with it: so what is left of a body that was refused is read and thrown away.
 */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../util/index.ts'
import type { ApiLimits } from './limits.ts'

/**
 * Call it before the answer is sent. Closes the connection where the client falls silent, sends too much, or wanted it
 * closed; else one whose body was read to its end serves on.
 */
export function readOn(response: ServerResponse, clock: Pick<Clock, 'after'>, limits: ApiLimits): void {
  const { req: message } = response
  const { socket } = message
  const wantsClose = !response.shouldKeepAlive
  // Node would close with the last byte of the answer.
  response.shouldKeepAlive = true
  const first = socket.bytesRead
  let seen = first
  const look = (): void => {
    if (socket.destroyed || (message.complete && !wantsClose)) return
    const read = socket.bytesRead
    if (message.complete || read === seen || read - first > limits.discardedBytes) {
      socket.destroySoon()
      return
    }
    seen = read
    clock.after(limits.discardSilenceMs, look)
  }
  clock.after(limits.discardSilenceMs, look)
}
