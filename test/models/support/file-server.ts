/** A web server of one file that breaks, stalls and lies as a test wants it. */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FileServer {
  readonly url: string
  /** `range` header of each request, or null. */
  readonly ranges: (string | null)[]
  /** Replaces how requests are answered. */
  answer: (request: IncomingMessage, response: ServerResponse) => void
  close(): Promise<void>
}

/** Answers with the file, or the range of it that is asked for when it is still the same file. */
export function serveBytes(data: Uint8Array, tag: string, cutAt?: number): FileServer['answer'] {
  return (request, response) => {
    const match = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
    const from = match !== null && request.headers['if-range'] === tag ? Number(match[1]) : 0
    if (from >= data.length && from > 0) {
      response.writeHead(416).end()
      return
    }
    const range = from > 0 ? { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` } : {}
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': data.length - from, etag: tag, ...range })
    if (cutAt === undefined || from >= cutAt) response.end(data.subarray(from))
    else response.write(data.subarray(from, cutAt), () => setTimeout(() => response.destroy(), 300))
  }
}

export async function startFileServer(): Promise<FileServer> {
  const ranges: (string | null)[] = []
  const server = createServer((request, response) => {
    ranges.push(request.headers.range ?? null)
    made.answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const made: FileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ranges,
    answer: (_, response) => response.writeHead(404).end(),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return made
}
