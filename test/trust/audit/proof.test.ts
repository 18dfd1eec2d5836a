/** The proof of one entry, to somebody who knows all that the others may say and tries it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { exportLines, newIdentity, openAuditLog, readAuditRows, verify } from '../../../src/trust/index.ts'
import { contentHash } from '../../../src/trust/audit/entry.ts'
import { canonicalJson, systemClock, systemRandom } from '../../../src/util/index.ts'

const home = mkdtempSync(join(tmpdir(), 'weft-proof-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

test('shows nothing of the others to who tries all that they may say', async () => {
  mkdirSync(join(home, 'keys'))
  const places = { path: join(home, 'audit.db'), anchor: join(home, 'keys', 'audit.anchor') }
  const identity = newIdentity()
  const signer = {
    sign: (bytes: Uint8Array) => identity.sign(bytes),
    verify: (bytes: Uint8Array, signature: Uint8Array) => verify(identity.id, bytes, signature),
  }
  const log = openAuditLog({ clock: systemClock(), random: systemRandom(), signer, log: () => undefined }, places)
  // the same deed twice: whoever is shown the first has every identifier of the second
  for (const who of ['owner', 'owner']) await log.record({ who, what: 'deploy', target: 'heart', result: 'ok' })
  const [, shown, hidden] = [...exportLines(identity, 0, readAuditRows(places.path).rows, 1)].map(
    (line) => JSON.parse(line) as { body: string; content: string | null },
  )
  const hashOf = (line: typeof shown): string => (JSON.parse(line!.body) as { content: string }).content
  const { salt, ...said } = JSON.parse(shown!.content!) as { salt: string }
  expect(contentHash(canonicalJson({ ...said, salt }))).toBe(hashOf(shown))
  for (const guess of [said, { ...said, salt }]) expect(contentHash(canonicalJson(guess))).not.toBe(hashOf(hidden))
})
