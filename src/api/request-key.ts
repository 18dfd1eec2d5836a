/** The key that a request came with, for whoever answers it. */
import type { FastifyRequest } from 'fastify'

const ids = new WeakMap<FastifyRequest, string>()

/** `id`: undefined for a key that has none. */
export function rememberKey(request: FastifyRequest, id: string | undefined): void {
  ids.set(request, id ?? '')
}

/** Undefined: it came without a key. */
export function keyIdOf(request: FastifyRequest): string | undefined {
  return ids.get(request)
}
