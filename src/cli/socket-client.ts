/** HTTP over the Unix socket of a home's peer: JSON, JSON lines and server-sent events, each bounded. */
import { lstat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { EXIT, ForwardedError } from '../errors.ts'
import type { ErrorData, ErrorInfo } from '../errors.ts'
import type { Clock } from '../util/index.ts'
import { PeerNotRunningError, PeerSilentError, reasonOf, UntrustedSocketError } from './errors.ts'
import { forwarded } from './error-tables.ts'
import { linesOf } from './lines.ts'

export interface SocketClientNeeds {
  readonly clock: Clock
}

export interface SocketClientInit {
  readonly home: string
  readonly socket: string
}

export interface CallOptions {
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the answer must have begun; null: no limit but the signal. @default that of the method */
  readonly deadline?: number | null
}

export interface SocketClient {
  json(method: string, path: string, options?: CallOptions): Promise<unknown>
  /** Each line of the answer, parsed. A line `{"type":"error"}` is thrown as the error that it carries. */
  jsonLines(method: string, path: string, options?: CallOptions): AsyncIterable<unknown>
  /** Data of server-sent events, parsed. */
  events(path: string, options?: CallOptions): AsyncIterable<unknown>
}

/** The peer computes no answer of these routes: one that takes longer is wedged. */
export const ANSWER_MS = 10_000
const LOOKUP_MS = 1000
const EXIT_STATUSES: ReadonlySet<unknown> = new Set(Object.values(EXIT))
/** The manifest of a model with 10^5 tensors is about 30 MB. */
const DOCUMENT_MAX = 64 * 2 ** 20
/** The longest line is the end of an answer: text and ids of at most some 10^5 tokens. */
const LINE_MAX = 16 * 2 ** 20

export function createSocketClient(needs: SocketClientNeeds, init: SocketClientInit): SocketClient {
  async function open(method: string, path: string, options: CallOptions): Promise<IncomingMessage> {
    await checkOwner(init)
    const response = await send(needs.clock, init, method, path, options)
    const status = response.statusCode ?? 0
    if (status >= 200 && status <= 299) return response
    const text = await bodyOf(path, response)
    const data = errorDataOf(text)
    throw data === undefined ? new PeerSilentError(path, `status ${status}: ${text.slice(0, 80)}`) : await known(data)
  }
  /** The peer knows its codes; asking it is quicker than loading every room for its table. */
  async function known(data: ErrorData): Promise<Error> {
    try {
      const path = `/api/v1/errors/${encodeURIComponent(data.code)}`
      const response = await send(needs.clock, init, 'GET', path, { deadline: LOOKUP_MS })
      const info = JSON.parse(await bodyOf(path, response)) as ErrorInfo
      if (info.code === data.code && EXIT_STATUSES.has(info.exit)) return new ForwardedError(info, data)
    } catch {
      // It may have ended with the error that it told: the tables of this process will do.
    }
    return forwarded(data)
  }
  return {
    async json(method, path, options = {}) {
      const response = await open(method, path, { deadline: ANSWER_MS, ...options })
      const text = await bodyOf(path, response)
      return text === '' ? null : parse(path, text)
    },
    async *jsonLines(method, path, options = {}) {
      const response = await open(method, path, options)
      try {
        for await (const line of safely(path, linesOf(response, LINE_MAX), options.signal)) {
          if (line === '') continue
          const value = parse(path, line)
          if (isErrorLine(value)) throw await known(normal(value.error))
          yield value
        }
      } finally {
        response.destroy()
      }
    },
    async *events(path, options = {}) {
      const response = await open('GET', path, options)
      try {
        for await (const line of safely(path, linesOf(response, LINE_MAX), options.signal)) {
          if (line.startsWith('data:')) yield parse(path, line.slice('data:'.length))
        }
      } finally {
        response.destroy()
      }
    },
  }
}

/** The fall-back socket lies in a folder that others may write to: whoever owns it would read every prompt. */
async function checkOwner(init: SocketClientInit): Promise<void> {
  try {
    const facts = await lstat(init.socket)
    const user = process.getuid?.()
    if (!facts.isSocket()) throw new UntrustedSocketError(init.socket, 'it is no socket')
    if (user !== undefined && facts.uid !== user && facts.uid !== 0) {
      throw new UntrustedSocketError(init.socket, `it belongs to user ${facts.uid}`)
    }
  } catch (error) {
    if (error instanceof UntrustedSocketError) throw error
    throw new PeerNotRunningError(init.home, init.socket)
  }
}

function send(
  clock: Clock,
  init: SocketClientInit,
  method: string,
  path: string,
  options: CallOptions,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body)
    const headers: Record<string, string | number> = { host: 'localhost', accept: 'application/json' }
    if (body !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = Buffer.byteLength(body)
    }
    const { signal } = options
    const request = httpRequest({ socketPath: init.socket, method, path, headers, agent: false })
    const late = (): void => void request.destroy(new PeerSilentError(path, `nothing came in ${options.deadline} ms`))
    const { deadline = null } = options
    const cancel = deadline === null ? () => {} : clock.after(deadline, late)
    const stop = (): void => void request.destroy(signal?.reason as Error)
    if (signal?.aborted === true) stop()
    signal?.addEventListener('abort', stop, { once: true })
    request.on('response', (response) => {
      cancel()
      response.once('close', () => signal?.removeEventListener('abort', stop))
      resolve(response)
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      cancel()
      signal?.removeEventListener('abort', stop)
      if (error === signal?.reason || error instanceof PeerSilentError) reject(error)
      else if (ABSENT.has(error.code ?? '')) reject(new PeerNotRunningError(init.home, init.socket))
      else if (error.code === 'EACCES') reject(new UntrustedSocketError(init.socket, reasonOf(error)))
      else reject(new PeerSilentError(path, reasonOf(error), error))
    })
    request.end(body)
  })
}

/** No process listens: the file is missing, or was left by one that died. */
const ABSENT = new Set(['ENOENT', 'ECONNREFUSED'])

async function bodyOf(path: string, response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      size += part.length
      if (size > DOCUMENT_MAX) throw new PeerSilentError(path, `the answer is larger than ${DOCUMENT_MAX} bytes`)
      parts.push(part)
    }
  } catch (error) {
    throw error instanceof PeerSilentError ? error : new PeerSilentError(path, reasonOf(error), error)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** A connection that breaks in the middle is an error of ours; the caller's own cancelling stays what it is. */
async function* safely(path: string, lines: AsyncIterable<string>, signal?: AbortSignal): AsyncIterable<string> {
  try {
    yield* lines
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason
    throw error instanceof PeerSilentError
      ? error
      : new PeerSilentError(path, `it broke off: ${reasonOf(error)}`, error)
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new PeerSilentError(path, `it is no JSON: ${text.slice(0, 60)}`, error)
  }
}

/** The body has OpenAI's `error` with our facts as `weft` beside it, or is `ErrorData`, alone or as `error`. */
function errorDataOf(text: string): ErrorData | undefined {
  const body = errorBodyOf(text)
  const candidates = [{ ...body?.weft, message: body?.error?.message }, body?.error, body]
  const found = candidates.find((candidate) => isErrorData(candidate))
  return isErrorData(found) ? normal(found) : undefined
}

function errorBodyOf(text: string): { error?: { message?: unknown }; weft?: object } | null {
  try {
    return JSON.parse(text) as { error?: { message?: unknown }; weft?: object } | null
  } catch {
    return null
  }
}

function isErrorLine(value: unknown): value is { error: ErrorData } {
  const line = value as { type?: unknown; error?: unknown } | null
  return line?.type === 'error' && isErrorData(line.error)
}

function isErrorData(value: unknown): value is ErrorData {
  const data = value as Partial<Record<keyof ErrorData, unknown>> | null | undefined
  return typeof data?.code === 'string' && data.code.startsWith('WEFT-') && typeof data.message === 'string'
}

function normal(data: ErrorData): ErrorData {
  return {
    code: data.code,
    message: data.message,
    why: data.why ?? null,
    hint: data.hint ?? null,
    details: data.details ?? {},
  }
}
