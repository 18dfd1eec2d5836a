/** Who is written down for what is asked by HTTP: the key, the machine's own, or nobody that is known. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import type { Api } from '../../src/api/index.ts'
import { auditedCall } from '../../src/peer/index.ts'
import { runPeer } from '../../src/peer/create-peer.ts'
import type { RunningPeer } from '../../src/peer/create-peer.ts'
import { auditPlaces, checkAuditFile, viewsOf } from '../../src/trust/index.ts'
import type { AuditView } from '../../src/trust/index.ts'

const KEYS: Readonly<Record<string, readonly string[]>> = { wk_admin: ['admin'], wk_reader: ['read'] }

const WAIT = { timeout: 20_000, interval: 50 }

let home: string
let running: RunningPeer
let api: Api
let port: number

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-who-'))
  running = await runPeer({ home, listen: null, lan: 'off', threads: 1 })
  const { clock, logger, peer, site, telemetry } = running
  const verify = (secret: string): Promise<{ id: string; scopes: readonly string[] } | null> => {
    const scopes = KEYS[secret]
    return Promise.resolve(scopes === undefined ? null : { id: secret.slice(3), scopes })
  }
  const called = auditedCall(site)
  const acting = (who: string, action: () => void): void => site.as(who, action)
  const needs = { peer, clock, logger, telemetry, keys: { verify }, called, acting }
  api = createApi(needs, { version: '0' })
  port = (await api.listen({ host: '0.0.0.0', port: 0 })).port
})
afterAll(async () => {
  await api.close()
  await running.peer.stop({ drain: 0 })
  await rm(home, { recursive: true })
})

function call(method: string, path: string, secret: string, body?: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

const entries = (): AuditView[] => viewsOf(checkAuditFile(running.peer.id, auditPlaces(home), []))
const told = (): (string | null)[][] =>
  entries()
    .filter(({ what }) => what !== 'peer.start')
    .map(({ who, what, target, result }) => [who, what, target, result])

test('what a key has done is written down as done by that key, also where it lacks the scope for it', async () => {
  await call('POST', '/api/v1/import', 'wk_admin', { source: '/nothing/here', name: 'tiny' })
  await vi.waitFor(() => expect(told()).toContainEqual(['key:admin', 'model.import', 'tiny', 'failed']), WAIT)
  expect((await call('DELETE', '/api/v1/models/tiny', 'wk_reader')).status).toBe(403)
  expect((await call('DELETE', '/api/v1/models/tiny', 'wk_admin')).status).toBe(404)
  expect((await call('DELETE', '/api/v1/models/tiny', 'wk_nobody')).status).toBe(401)
  await running.peer.trust(running.peer.id)
  const route = 'api.v1.models.:name'
  await vi.waitFor(
    () =>
      expect(told()).toEqual(
        expect.arrayContaining([
          ['key:reader', 'api', route, 'failed'],
          ['key:admin', 'api', route, 'failed'],
          ['stranger', 'api', route, 'failed'],
          // A program around the peer is its owner's.
          ['owner', 'peer.trust', running.peer.id, 'ok'],
        ]),
      ),
    WAIT,
  )
})
