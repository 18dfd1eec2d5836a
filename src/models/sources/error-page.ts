/** A page for people in place of a file: log-ins, captive portals and proxies answer 200 with one. */
import { FetchError } from '../errors.ts'

const PAGES = /^(?:text\/html|application\/xhtml\+xml)\b/i
const DATA = /^application\/(?:\w+\+)?json\b/i
const PAGE_START = /^(?:\uFEFF|\s)*<(?:!doctype\s+html|html)\b/i

/** Do the headers say that a page comes, or JSON where none was asked for? */
export function announcesPage(response: Response, url: URL): boolean {
  const type = response.headers.get('content-type') ?? ''
  if (PAGES.test(type)) return !/\.x?html?$/i.test(url.pathname)
  return DATA.test(type) && !/\.json$/i.test(url.pathname)
}

/** Does it begin as one? No model file does. */
export function beginsAsPage(bytes: Uint8Array): boolean {
  return PAGE_START.test(Buffer.from(bytes.subarray(0, 256)).toString('latin1'))
}

export function pageInstead(source: string): FetchError {
  return new FetchError(source, 'the server answered with a page for people, not with the file', {
    hint: 'Open the address in a browser: it may want a log-in, a licence accepted, or the network one. What was fetched before is kept.',
    final: true,
  })
}
