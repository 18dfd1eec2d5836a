/** Headers for the web origins that a person has allowed, and the ones that every answer carries. */

/** The status page needs nothing from elsewhere; answers are data, never documents of this origin. */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cache-control': 'no-store',
} as const

export function corsHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'x-weft-route, x-weft-request, x-request-id, retry-after',
    vary: 'origin',
  }
}

export function preflightHeaders(origin: string): Record<string, string> {
  return {
    ...corsHeaders(origin),
    'access-control-allow-methods': 'GET, POST, DELETE',
    // OpenAI's clients in a page send x-stainless-* headers beside these two.
    'access-control-allow-headers': PREFLIGHT_HEADERS,
    'access-control-allow-private-network': 'true',
    'access-control-max-age': '600',
  }
}

const STAINLESS = ['arch', 'lang', 'os', 'package-version', 'retry-count', 'runtime', 'runtime-version', 'timeout']
const PREFLIGHT_HEADERS = [
  'authorization',
  'content-type',
  'last-event-id',
  ...STAINLESS.map((name) => `x-stainless-${name}`),
].join(', ')
