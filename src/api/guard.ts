/**
 * What a web page must not be able to do to a program on this machine: reach it by rebinding a name (Host), call it
 * from another origin (Origin, Sec-Fetch-Site), post to it as a form (content type), talk to it over a WebSocket.
 */
import { isIP } from 'node:net'
import type { IncomingMessage } from 'node:http'
import { HostRefusedError, KeyInQueryError, OriginRefusedError, WebSocketRefusedError } from './access-errors.ts'
import { ContentTypeError, MalformedRequestError } from './request-errors.ts'

export interface GuardInit {
  /** Bound to loopback only: then names of other machines are refused as Host. */
  readonly loopback: boolean
  readonly hosts: readonly string[]
  readonly cors: readonly string[]
  /** Whether anything is at its method and path: else nobody reads its body. */
  readonly hasRoute: boolean
}

/** Names under which clients put keys into addresses. */
const KEY_PARAMS = ['key', 'api_key', 'api-key', 'apikey', 'token', 'access_token', 'authorization', 'auth', 'secret']
const BODY_METHODS = new Set(['POST', 'PUT', 'PATCH'])

export interface Guarded {
  /** An allowed origin of another site: its answers carry CORS headers. */
  readonly foreignOrigin: string | null
}

/** @throws one error a cause; the order is that of the checks in a browser's reach. */
export function guardRequest(message: IncomingMessage, init: GuardInit): Guarded {
  if (message.url === undefined || !message.url.startsWith('/'))
    throw new MalformedRequestError('only paths are taken, no absolute addresses')
  checkHost(message, init)
  const foreignOrigin = checkOrigin(message, init)
  if (message.headers.upgrade?.toLowerCase().includes('websocket') === true) throw new WebSocketRefusedError()
  checkQuery(message.url)
  const isJson = init.hasRoute && BODY_METHODS.has(message.method ?? '') && !isForm(message) && !isBareCancel(message)
  if (isJson) checkContentType(message)
  return { foreignOrigin }
}

function checkHost(message: IncomingMessage, init: GuardInit): void {
  const named = message.rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'host')
  if (named.length > 1) throw new MalformedRequestError('more than one Host header')
  const host = message.headers.host?.toLowerCase() ?? ''
  const { name, port } = splitHost(host)
  if (init.hosts.some((allowed) => allowed.toLowerCase() === host || allowed.toLowerCase() === name)) return
  const ours = port === (message.socket.localPort ?? 0)
  // An address cannot be rebound, only a name can.
  if (ours && (isLoopbackName(name) || (!init.loopback && isIP(unbracket(name)) !== 0))) return
  throw new HostRefusedError()
}

function splitHost(host: string): { name: string; port: number } {
  const parts = /^(\[[0-9a-f:.]+\]|[^:[\]@/\s]+)(?::(\d{1,5}))?$/.exec(host)
  return { name: parts?.[1] ?? '', port: parts?.[2] === undefined ? 80 : Number(parts[2]) }
}

function unbracket(name: string): string {
  return name.startsWith('[') ? name.slice(1, -1) : name
}

/** `localhost`, 127.0.0.0/8 and ::1, as in a Host header or as an address to bind. */
export function isLoopbackName(name: string): boolean {
  const bare = unbracket(name.toLowerCase())
  if (bare === 'localhost' || bare === '::1') return true
  return isIP(bare) === 4 && bare.startsWith('127.')
}

function checkOrigin(message: IncomingMessage, init: GuardInit): string | null {
  const origin = message.headers.origin
  if (origin !== undefined) {
    if (origin.toLowerCase() === `http://${message.headers.host ?? ''}`.toLowerCase()) return null
    if (origin !== 'null' && init.cors.includes(origin)) return origin
    throw new OriginRefusedError()
  }
  // Pictures, scripts and frames of other sites send no Origin, but say where they come from. `same-site` is another
  // port of this very host, so it is as foreign. A person who follows a link navigates.
  const site = message.headers['sec-fetch-site']
  const foreign = site === 'cross-site' || site === 'same-site'
  if (foreign && message.headers['sec-fetch-mode'] !== 'navigate') throw new OriginRefusedError()
  return null
}

function checkQuery(url: string): void {
  const start = url.indexOf('?')
  if (start < 0) return
  for (const name of new URLSearchParams(url.slice(start)).keys())
    if (KEY_PARAMS.includes(name.toLowerCase())) throw new KeyInQueryError(name.slice(0, 32))
}

/**
 * A file is sent as a form, which a page may send across origins without asking: those come with an Origin, refused above, and a
 * page that navigates by a form says so.
 */
function isForm(message: IncomingMessage): boolean {
  const type = message.headers['content-type'] ?? ''
  const isFiles = message.url?.split('?', 1)[0] === '/v1/files'
  return isFiles && /^multipart\/form-data\s*;/i.test(type) && message.headers['sec-fetch-mode'] !== 'navigate'
}

/**
 * OpenAI's client for JavaScript cancels a batch with no body, and so with no type of one. A page of another origin that
 * does so is refused by its Origin; whoever sends bytes says what they are.
 */
function isBareCancel({ headers, url = '' }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
  return !hasBody && headers['content-type'] === undefined && /^\/v1\/batches\/[^/?]+\/cancel(?:\?|$)/.test(url)
}

/** A form or `text/plain` may be sent across origins without a preflight; JSON may not. */
function checkContentType(message: IncomingMessage): void {
  const type = message.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  const encoding = message.headers['content-encoding']
  if (type !== 'application/json' || (encoding !== undefined && encoding !== 'identity')) throw new ContentTypeError()
}
