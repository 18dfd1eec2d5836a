/** The lines of batches go the way that all requests go, over the local socket: the same checks, limits, answers and errors. */
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Ask } from './runner.ts'

/** Whoever made the batch was let in then. */
export function askOver(socketPath: string): Ask {
  return async (path, body, signal) => {
    const payload = JSON.stringify(body)
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: unknown }>()
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
    const asked = request({ socketPath, path, method: 'POST', headers, signal }, (answer) => {
      const parsed = text(answer).then((all) => ({ status: answer.statusCode ?? 0, body: JSON.parse(all) as unknown }))
      parsed.then(resolve, reject)
    })
    asked.on('error', reject)
    asked.end(payload)
    return promise
  }
}
