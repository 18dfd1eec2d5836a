/** One HTTP request for the rest of a file (RFC 9110: Range and If-Range), or for all of it when it has changed. */
import { FetchError } from '../errors.ts'
import type { DownloadRequest } from './download.ts'
import { announcesPage, pageInstead } from './error-page.ts'
import { followRedirects } from './redirects.ts'

/** A strong entity tag or a date, as `If-Range` takes it. */
export interface Validator {
  readonly value: string
}

export interface Transfer {
  readonly response: Response
  /** First byte that the response has. */
  readonly from: number
  /** Bytes of the whole file, where the server says it. */
  readonly total: number | null
  readonly validator: Validator | null
}

/** @throws FetchError when the server refuses */
export async function planTransfer(
  fetcher: typeof fetch,
  request: DownloadRequest,
  have: number,
  validator: Validator | null,
  signal: AbortSignal,
): Promise<Transfer> {
  // Bytes on disk of which nobody knows the version are not continued.
  const resume = have > 0 && validator !== null
  const headers = {
    // A range of a compressed form would not be a range of the file.
    'accept-encoding': 'identity',
    ...request.headers,
    ...(resume ? { range: `bytes=${have}-`, 'if-range': validator.value } : {}),
  }
  const response = await followRedirects(fetcher, { ...request, headers }, signal)
  if (response.status === 416 && resume) {
    await response.body?.cancel()
    return planTransfer(fetcher, request, 0, null, signal)
  }
  if (response.status !== 200 && response.status !== 206) {
    await response.body?.cancel()
    throw refused(request.source, response)
  }
  if (announcesPage(response, request.url)) {
    await response.body?.cancel()
    throw pageInstead(request.source)
  }
  const range = response.status === 206 ? contentRange(response) : null
  if (response.status === 206 && (range?.from !== have || isOther(response, validator))) {
    await response.body?.cancel()
    return planTransfer(fetcher, request, 0, null, signal)
  }
  return {
    response,
    from: range === null ? 0 : have,
    total: range === null ? contentLength(response) : range.total,
    validator: validatorOf(response),
  }
}

export async function* bodyChunks(response: Response): AsyncGenerator<Uint8Array, void> {
  if (response.body === null) return
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) yield chunk
}

/** Some servers know ranges and not `If-Range`: the tag says whether the rest is that of the same file. */
function isOther(response: Response, validator: Validator | null): boolean {
  const tag = validatorOf(response)
  return validator !== null && tag !== null && validator.value.startsWith('"') && tag.value !== validator.value
}

function refused(source: string, response: Response): FetchError {
  const { status } = response
  const hints: Readonly<Record<number, string>> = {
    401: 'The place wants credentials: set HF_TOKEN for a hub, or download the file by hand and import it.',
    403: 'The place refuses: the model may need its licence to be accepted first.',
    404: 'Check the name of the file.',
  }
  const final = status < 500 && status !== 429 && status !== 408
  return new FetchError(source, `the server answered ${status}`, { hint: hints[status], final })
}

function contentLength(response: Response): number | null {
  const length = Number(response.headers.get('content-length') ?? 'none')
  return Number.isSafeInteger(length) && length >= 0 ? length : null
}

function contentRange(response: Response): { from: number; total: number | null } | null {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '')
  if (match === null) return null
  return { from: Number(match[1]), total: match[2] === '*' ? null : Number(match[2]) }
}

function validatorOf(response: Response): Validator | null {
  const tag = response.headers.get('etag')
  if (tag !== null && !tag.startsWith('W/')) return { value: tag }
  const date = response.headers.get('last-modified')
  return date === null ? null : { value: date }
}
