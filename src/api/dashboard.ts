/** The status page: files that lie in a folder beside this one, in the checkout and in the package alike. */
import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'

export interface Dashboard {
  readonly files: readonly { readonly path: string; readonly type: string; readonly body: Buffer }[]
}

const FILES = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/dashboard/style.css', file: 'style.css', type: 'text/css; charset=utf-8' },
  { path: '/dashboard/page.js', file: 'page.js', type: 'text/javascript; charset=utf-8' },
  { path: '/dashboard/draw.js', file: 'draw.js', type: 'text/javascript; charset=utf-8' },
  { path: '/dashboard/chat.js', file: 'chat.js', type: 'text/javascript; charset=utf-8' },
  { path: '/dashboard/icon.svg', file: 'icon.svg', type: 'image/svg+xml' },
] as const

/** Nothing from elsewhere, nothing inline: also a peer's name that holds markup stays text. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Read once, when the API begins to listen. */
export async function loadDashboard(): Promise<Dashboard> {
  const files = await Promise.all(
    FILES.map(async ({ path, file, type }) => ({
      path,
      type,
      body: await readFile(new URL(`./dashboard/${file}`, import.meta.url)),
    })),
  )
  return { files }
}

export function addDashboardRoutes(app: FastifyInstance, dashboard: Dashboard): void {
  for (const { path, type, body } of dashboard.files)
    app.get(path, { config: { scope: 'read' } }, (_request, reply) =>
      reply.type(type).header('content-security-policy', POLICY).send(body),
    )
}
