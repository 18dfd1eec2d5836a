/** Streams write their own head, with the headers that hooks have set on the reply. */
import type { FastifyReply } from 'fastify'

export function setHeaders(reply: FastifyReply): Record<string, string | string[] | number> {
  const kept: Record<string, string | string[] | number> = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) kept[name] = value
  return kept
}
