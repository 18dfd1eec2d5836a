/** Which methods a path has: what is asked with another one is told so, and with which it may be asked. */
import { MethodRefusedError, NoSuchRouteError } from './request-errors.ts'

export class RouteMethods {
  readonly #routes: { readonly pattern: readonly string[]; readonly methods: readonly string[] }[] = []

  /** `url` as a route is declared: `/v1/files/:id`, `/api/v1/models/*`. */
  add(url: string, method: string | readonly string[]): void {
    const methods = typeof method === 'string' ? [method] : method
    this.#routes.push({ pattern: url.split('/'), methods })
  }

  /** In alphabetical order; none: there is no such path. */
  of(path: string): string[] {
    const parts = path.split('/')
    const found = this.#routes.filter(({ pattern }) => matches(pattern, parts)).flatMap(({ methods }) => methods)
    return [...new Set(found)].toSorted()
  }

  /** Why there is no route for this. */
  refusal(method: string, url: string): NoSuchRouteError | MethodRefusedError {
    const allowed = this.of(url.split('?', 1)[0] ?? '')
    return allowed.length === 0 ? new NoSuchRouteError() : new MethodRefusedError(method, allowed)
  }
}

function matches(pattern: readonly string[], parts: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '*'
  if (isOpen ? parts.length < pattern.length : parts.length !== pattern.length) return false
  return pattern.every(
    (piece, at) => piece === '*' || piece === parts[at] || (piece.startsWith(':') && parts[at] !== ''),
  )
}
