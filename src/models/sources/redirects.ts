/**
 * HTTP requests that follow redirects by hand, since a hub sends on to other hosts: credentials are for the host that they
 * were given for, and a way that was encrypted stays so.
 */
import { FetchError } from '../errors.ts'

export interface HttpRequest {
  readonly url: URL
  /** What to call it in messages. */
  readonly source: string
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Readonly<Record<string, string>>
  /** A redirect that is answered as it is, not followed. @default none */
  readonly until?: (response: Response, next: URL) => boolean
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** Hubs send on twice at most. */
const MAX_REDIRECTS = 10
/** Headers that say who asks. */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie'])

/** @throws FetchError for redirects that are not followed, and what `fetcher` throws */
export async function followRedirects(
  fetcher: typeof fetch,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Response> {
  const { source, method = 'GET', until } = request
  let { url, headers = {} } = request
  const seen = new Set<string>()
  for (;;) {
    seen.add(url.href)
    const response = await fetcher(url, { method, headers, signal, redirect: 'manual' })
    const location = response.headers.get('location')
    if (!REDIRECTS.has(response.status) || location === null) return response
    const next = target(source, url, location)
    if (until?.(response, next) === true) return response
    await response.body?.cancel()
    if (seen.has(next.href)) throw refused(source, `its redirects go in a circle, back to ${shown(next)}`)
    if (seen.size > MAX_REDIRECTS) throw refused(source, `it redirects more than ${MAX_REDIRECTS} times`)
    if (next.origin !== url.origin) headers = withoutCredentials(headers)
    url = next
  }
}

function target(source: string, from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw refused(source, 'it redirects to what is no URL')
  const next = new URL(location, from)
  if (next.protocol !== 'https:' && next.protocol !== 'http:') throw refused(source, `it redirects to ${shown(next)}`)
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw refused(source, `it redirects from https to plain http, to ${shown(next)}`)
  }
  return next
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.has(name.toLowerCase())))
}

/** Paths and queries of redirects are long and hold signatures. */
function shown(url: URL): string {
  return url.host === '' ? url.protocol : `${url.protocol}//${url.host.slice(0, 80)}`
}

function refused(source: string, why: string): FetchError {
  return new FetchError(source, why, {
    hint: 'The place is set up wrongly, or somebody on the way answers in its name; try another source.',
    final: true,
  })
}
