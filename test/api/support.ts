/** Starts the real server over the fake peer, and speaks to it as clients do that follow no rules. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { createApi } from '../../src/api/index.ts'
import type { Api, ApiInit, ApiNeeds } from '../../src/api/index.ts'
import { createLogger, createTelemetry } from '../../src/telemetry/index.ts'
import type { Telemetry } from '../../src/telemetry/index.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { createFakePeer } from './fake-peer.ts'
import type { FakePeer } from './fake-peer.ts'

export const KEY = 'wk_the-right-one'
export const READ_KEY = 'wk_only-reading'

export interface Running extends AsyncDisposable {
  readonly api: Api
  readonly peer: FakePeer
  readonly telemetry: Telemetry
  readonly url: string
  readonly port: number
  readonly log: () => string
}

export interface StartOptions {
  readonly init?: Partial<ApiInit>
  readonly needs?: Partial<ApiNeeds>
  readonly host?: string
  readonly clock?: Clock
}

export function buildApi(options: StartOptions = {}): Omit<Running, 'url' | 'port'> {
  const clock = options.clock ?? systemClock()
  const telemetry = createTelemetry({ clock })
  const peer = createFakePeer(telemetry)
  const lines: string[] = []
  const logger = createLogger({ name: 'api', level: 'debug', destination: { write: (line) => void lines.push(line) } })
  const keys = {
    verify: async (secret: string) => {
      if (secret === KEY) return { scopes: ['generate', 'read', 'admin'] }
      return secret === READ_KEY ? { scopes: ['read'] } : null
    },
  }
  const api = createApi(
    { peer, clock, telemetry, logger, keys, ...options.needs },
    { version: '0.1.0', ...options.init },
  )
  return { api, peer, telemetry, log: () => lines.join(''), [Symbol.asyncDispose]: () => api.close() }
}

export async function start(options: StartOptions = {}): Promise<Running> {
  const built = buildApi(options)
  const { port } = await built.api.listen({ host: options.host ?? '127.0.0.1', port: 0 })
  return { ...built, port, url: `http://127.0.0.1:${port}` }
}

export interface RawAnswer {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Sends bytes as they stand and reads until the server closes; `connection: close` is up to the caller. */
export function raw(port: number, bytes: string | Uint8Array, host = '127.0.0.1'): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(parseAnswer(text)))
    socket.write(bytes)
  })
}

export function parseAnswer(text: string): RawAnswer {
  const split = text.indexOf('\r\n\r\n')
  const head = split < 0 ? text : text.slice(0, split)
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    head,
    body: split < 0 ? '' : text.slice(split + 4),
  }
}

/** A GET (or another method) with exactly these headers. */
export function request(port: number, path: string, headers: readonly string[], method = 'GET'): Promise<RawAnswer> {
  return raw(port, [`${method} ${path} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n'))
}

export function post(
  url: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

export interface Failure {
  readonly error: { message: string; type: string; param: string | null; code: string | null }
  readonly weft: { code: string; hint: string; details: Record<string, unknown> }
}

export async function failure(answer: Response): Promise<Failure> {
  return (await answer.json()) as Failure
}

/** A connection that is open and stays so. */
export function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Looks again until it is so; the test's own limit ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** A clock that moves only when it is told to. */
export interface ManualClock extends Clock {
  advance(milliseconds: number): void
  pending(): number
}

export function manualClock(): ManualClock {
  let now = 0
  const timers = new Set<{ at: number; action: () => void }>()
  const after = (milliseconds: number, action: () => void): (() => void) => {
    const timer = { at: now + milliseconds, action }
    timers.add(timer)
    return () => timers.delete(timer)
  }
  return {
    now: () => now,
    wall: () => 1_700_000_000_000 + now,
    after,
    sleep: (milliseconds) => new Promise((resolve) => after(milliseconds, resolve)),
    pending: () => timers.size,
    advance: (milliseconds) => {
      now += milliseconds
      for (const timer of [...timers].sort((one, two) => one.at - two.at)) {
        if (timer.at > now || !timers.delete(timer)) continue
        timer.action()
      }
    },
  }
}
