/** Every way in which Node and fastify fail, turned into our errors and OpenAI's body. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { WeftError } from '../errors.ts'
import { errorBody, errorStatus, publicError } from './error-body.ts'
import type { ApiLimits } from './limits.ts'
import { readOn } from './read-on.ts'
import {
  BodyTooLargeError,
  ContentTypeError,
  HeadersTooLargeError,
  MalformedRequestError,
  MethodRefusedError,
  NoSuchRouteError,
  RequestTimeoutError,
} from './request-errors.ts'
import type { ServerParts } from './server-parts.ts'

/** fastify's own errors have a `code` and a `statusCode`. */
export function translateError(error: unknown, limits: ApiLimits): unknown {
  if (error instanceof WeftError || !(error instanceof Error)) return error
  const { code, statusCode } = error as Error & { code?: string; statusCode?: number }
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new BodyTooLargeError(limits.bodyBytes)
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ContentTypeError()
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_ASYNC_CONSTRAINT':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new NoSuchRouteError()
    default:
      return statusCode !== undefined && statusCode < 500 ? new MalformedRequestError(code ?? 'not acceptable') : error
  }
}

export function answerError(parts: ServerParts, cause: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { telemetry, logger } = parts.needs
  const error = publicError(cause)
  const status = errorStatus(error)
  if (status < 500) telemetry.count('http_refused', 1, { code: error.code })
  const route = request.routeOptions.url ?? 'none'
  // A coded error says all there is to say; the stack is for what nobody foresaw.
  const facts = cause instanceof WeftError ? { code: cause.code, why: cause.message } : { err: cause }
  logger[status < 500 ? 'debug' : 'warn']({ ...facts, route, status }, 'request failed')
  if (status === 429 || status === 503) void reply.header('retry-after', String(secondsUntil(error, parts)))
  if (error instanceof MethodRefusedError) void reply.header('allow', error.allowed.join(', '))
  if (status === 401) void reply.header('www-authenticate', 'Bearer')
  if (status === 413) {
    // fastify's own wish, of an answer to a body that was not read.
    void reply.removeHeader('connection')
    readOn(reply.raw, parts.needs.clock, parts.limits)
  }
  // The body was not read to its end: the rest of it must not be taken for another request.
  if (status === 408) void reply.header('connection', 'close')
  void reply.code(status).type('application/json; charset=utf-8').send(errorBody(error))
}

/** As the error itself knows it, else by how long requests take of late. */
function secondsUntil({ details }: WeftError, { exchanges }: ServerParts): number {
  const known = details['retry_after_s']
  return typeof known === 'number' && Number.isInteger(known) && known > 0 ? known : exchanges.again()
}

/** What the HTTP parser could not make a request of: no reply object exists, so the bytes are written here. */
export function onParserError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const known = parserError(error.code)
  const status = errorStatus(known)
  const body = JSON.stringify(errorBody(known))
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
    () => socket.destroy(),
  )
}

function parserError(code: string | undefined): WeftError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLargeError()
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new RequestTimeoutError()
  return new MalformedRequestError('it does not parse as HTTP/1.1')
}
