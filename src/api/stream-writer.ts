/**
 * A streamed answer with back-pressure: a write waits until the client has read what was written before, so memory
 * holds one chunk a client; one that reads nothing for too long is cut, and silence is filled with comments.
 */
import type { ServerResponse } from 'node:http'
import type { CancelTimer, Clock } from '../util/index.ts'
import { ClientGoneError, ClientStalledError } from './errors.ts'

export interface StreamWriter {
  /** @throws ClientGoneError, ClientStalledError */
  write(text: string): Promise<void>
  /** Ends the answer; later writes are refused. */
  end(): void
}

export interface StreamWriterInit {
  readonly stallMs: number
  /** What to send after silence, and after how much of it; absent for formats without comments. */
  readonly comment?: { readonly text: string; readonly afterMs: number }
}

/** `response` has its head written already. */
export function createStreamWriter(clock: Clock, response: ServerResponse, init: StreamWriterInit): StreamWriter {
  let cancelComment: CancelTimer = () => undefined
  const armComment = (): void => {
    cancelComment()
    const { comment } = init
    if (comment === undefined) return
    cancelComment = clock.after(comment.afterMs, () => {
      if (response.destroyed || response.writableEnded) return
      // Where the buffer is full already, the client is not waiting for a sign of life.
      if (!response.writableNeedDrain) response.write(comment.text)
      armComment()
    })
  }
  armComment()
  response.once('close', () => cancelComment())
  return {
    write: async (text) => {
      if (response.destroyed || response.writableEnded) throw new ClientGoneError()
      armComment()
      if (!response.write(text)) await drained(clock, response, init.stallMs)
    },
    end: () => {
      cancelComment()
      endWithin(clock, response, init.stallMs)
    },
  }
}

/** Also the end of an answer waits for its reader only so long. */
function endWithin(clock: Clock, response: ServerResponse, stallMs: number): void {
  if (response.destroyed || response.writableEnded) return
  const cancel = clock.after(stallMs, () => response.destroy())
  response.once('close', cancel)
  response.end()
}

function drained(clock: Clock, response: ServerResponse, stallMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      cancel()
      response.off('drain', onDrain)
      response.off('close', onClose)
      finish()
    }
    const onDrain = (): void => settle(resolve)
    const onClose = (): void => settle(() => reject(new ClientGoneError()))
    const cancel = clock.after(stallMs, () => {
      settle(() => reject(new ClientStalledError(stallMs)))
      response.destroy()
    })
    response.once('drain', onDrain)
    response.once('close', onClose)
  })
}
