/** weft policy beside a running peer that goes on with what it had: it is said, by words and by status. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../src/util/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { call, json, runningHome } from './support.ts'
import type { TestHome } from './support.ts'

const POLICY = JSON.stringify({ schema: 'weft.policy/1', rules: [{ name: 'all', allow: ['connect'] }] })

let it: TestHome
beforeEach(async () => void (it = await runningHome()))
afterEach(() => it[Symbol.asyncDispose]())

/** Whoever waits by it has waited. */
function hurried(): Clock {
  let now = 0
  return { ...systemClock(), now: () => now, sleep: (ms) => Promise.resolve(void (now += ms)) }
}

function goesOnWith(policy: string | null): void {
  const { peer } = it
  const given = peer.status.bind(peer)
  peer.status = () => {
    const status = given()
    const site = { cloned: null, bans: [], outliers: null, audit: { seq: 0, hash: '', waiting: 0, why: null } }
    const standing = policy === null ? null : { sha256: policy, rules: 1, trouble: 'it could not be read' }
    return { ...status, site: { ...site, policy: standing } }
  }
}

test('apply and remove end with status 10 and say so, and the file is what was asked for', async () => {
  const draft = join(it.home, 'draft.json')
  await writeFile(draft, POLICY)
  goesOnWith(null)
  const said = await call(['policy', 'apply', draft, '--home', it.home], { clock: hurried() })
  expect([said.status, said.stderr]).toEqual([10, expect.stringContaining('has NOT taken it up')])
  expect(await readFile(join(it.home, 'policy.json'), 'utf8')).toBe(POLICY)
  const told = await call(['policy', 'apply', draft, '--json', '--home', it.home], { clock: hurried() })
  expect([told.status, json(told.stdout)]).toMatchObject([10, { schema: 'weft.policy/1', running: false, rules: 1 }])
  goesOnWith('5c'.repeat(32))
  const removed = await call(['policy', 'remove', '--home', it.home], { clock: hurried() })
  expect([removed.status, removed.stderr]).toEqual([10, expect.stringContaining('has NOT taken it up')])
})
