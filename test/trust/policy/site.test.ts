/** A policy file that is changed under a running site: what is in force, and what is said of it. */
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSitePolicy } from '../../../src/trust/index.ts'
import type { Policy, SitePolicy } from '../../../src/trust/index.ts'
import { virtualClock } from '../../mesh/support/virtual-clock.ts'

let folder: string
let path: string
let site: SitePolicy
let changed: (Policy | null)[]
let refused: string[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-policy-'))
  path = join(folder, 'policy.json')
  changed = []
  refused = []
  await write('one')
  site = await openSitePolicy(
    {
      clock: virtualClock(),
      standing: () => 'of the one before',
      changed: (policy) => void changed.push(policy),
      refused: ({ message }) => void refused.push(message),
    },
    { path, watch: false },
  )
})
afterEach(() => rm(folder, { recursive: true }))

const write = (note: string): Promise<void> =>
  writeFile(path, JSON.stringify({ schema: 'weft.policy/1', note, rules: [] }), { mode: 0o600 })
const note = (): string | undefined => site.current()?.document.note

test.each<[string, () => Promise<void>, () => Promise<void>, RegExp]>([
  ['opened to others and closed again', () => chmod(path, 0o622), () => chmod(path, 0o600), /cannot be trusted/],
  ['moved away and back', () => rename(path, `${path}.away`), () => rename(`${path}.away`, path), /is missing/],
  ['broken and written anew', () => writeFile(path, '{'), () => write('one'), /expected a name/],
])('%s: the trouble is told once, and is over when it is mended', async (_, spoil, mend, why) => {
  for (let time = 1; time <= 2; time++) {
    await spoil()
    for (let look = 0; look < 3; look++) await site.look()
    expect(site.trouble()).toMatch(why)
    expect(note()).toBe('one')
    expect(refused).toHaveLength(time)
    await mend()
    await site.look()
    expect(site.trouble()).toBeNull()
  }
  expect(changed).toEqual([])
  await write('two')
  await site.look()
  expect(note()).toBe('two')
})
