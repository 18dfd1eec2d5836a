/** Rules of a policy by the role that the cluster gave, and by model: the same in the running peer and for `weft policy`. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runPeer } from '../../src/peer/create-peer.ts'
import type { RunningPeer } from '../../src/peer/create-peer.ts'
import { keptOut } from '../../src/peer/site-gates.ts'
import { foundClusterHome, loadOrCreateIdentity, newIdentity } from '../../src/trust/index.ts'
import type { PolicyAction } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { call, json } from '../cli/support.ts'

const [MEMBER, GUEST, STRANGER] = [newIdentity().id, newIdentity().id, newIdentity().id]
const POLICY = {
  schema: 'weft.policy/1',
  egress: { activations: [MEMBER, GUEST] },
  rules: [
    { name: 'members', allow: ['compute', 'place'], roles: ['member', 'site', 'admin'] },
    { name: 'no-guests', deny: ['relay'], roles: ['guest'] },
    { name: 'all', allow: ['connect', 'relay'] },
    { name: 'prompts', allow: ['route'], roles: ['member'], models: ['tiny*'] },
  ],
}

let home: string
let running: RunningPeer

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-roles-'))
  await mkdir(join(home, 'keys'), { mode: 0o700 })
  const identity = await loadOrCreateIdentity({ directory: join(home, 'keys') })
  const founder = { name: '', site: '' }
  const init = { name: 'north', threshold: { k: 1, n: 1 }, founder, root: newIdentity() }
  const opened = await foundClusterHome({ identity, random: systemRandom(), wall: () => Date.now() }, home, init)
  opened.cluster.admit({ peer: MEMBER, name: 'm', role: 'member', site: '' })
  opened.cluster.admit({ peer: GUEST, name: 'g', role: 'guest', site: '' })
  opened.close()
  await writeFile(join(home, 'policy.json'), JSON.stringify(POLICY), { mode: 0o600 })
})

afterAll(() => rm(home, { recursive: true }))

const QUESTIONS: readonly [PolicyAction, string, string | undefined, boolean, string][] = [
  ['compute', MEMBER, 'tiny', true, 'members'],
  ['compute', GUEST, 'tiny', false, 'default'],
  ['compute', STRANGER, 'tiny', false, 'default'],
  ['relay', MEMBER, undefined, true, 'all'],
  ['relay', GUEST, undefined, false, 'no-guests'],
  // Who has no role may be in any that is denied.
  ['relay', STRANGER, undefined, false, 'no-guests'],
  ['route', MEMBER, 'tiny', true, 'prompts'],
  ['route', MEMBER, 'other', false, 'default'],
  ['route', GUEST, 'tiny', false, 'default'],
]

describe('rules by role', () => {
  it('hold for the members of the cluster, as weft policy test and explain say of the same home', async () => {
    for (const [action, peer, model, allow, rule] of QUESTIONS) {
      const request = join(home, 'request.json')
      await writeFile(request, JSON.stringify({ action, peer, model }))
      const { stdout } = await call(['policy', 'test', request, '--json', '--home', home])
      expect(json(stdout), `${action} ${model}`).toMatchObject({ allow, rule })
    }
    const may = async (peer: string): Promise<string[]> => {
      const { stdout } = await call(['policy', 'explain', peer, '--json', '--home', home])
      const { actions } = json(stdout) as { actions: { action: string; allow: boolean }[] }
      return actions.filter(({ allow }) => allow).map(({ action }) => action)
    }
    expect(await may(MEMBER)).toEqual(['connect', 'relay', 'place', 'compute', 'route'])
    expect(await may(GUEST)).toEqual(['connect'])
    expect(await may(STRANGER)).toEqual(['connect'])
    // by its name in the log, and by what is shown of its id
    expect(await may('m')).toEqual(await may(MEMBER))
    const short = `${MEMBER.slice(0, 4)}…${MEMBER.slice(-4)}`
    const told = json((await call(['policy', 'explain', short, '--json', '--home', home])).stdout)
    expect(told).toMatchObject({ peer: MEMBER, role: 'member' })
    expect((await call(['policy', 'explain', 'bob', '--home', home])).stderr).toMatch(/WEFT-CLI-015/)

    running = await runPeer({ home, name: 'site', listen: null, lan: 'off', threads: 1 })
    try {
      const { site } = running
      for (const [action, peer, model, allow, rule] of QUESTIONS)
        expect(site.decide({ action, peer, model }), `${action} ${model}`).toMatchObject({ allow, rule })
      // What is kept out of routes goes by the model where it is known.
      const nobody = { has: () => false, isListed: () => false, refuse: () => undefined }
      const kept = keptOut(site, nobody)
      expect([kept.has(MEMBER), kept.has(MEMBER, 'tiny'), kept.has(MEMBER, 'other')]).toEqual([false, false, true])
      expect([kept.has(GUEST), kept.has(GUEST, 'tiny')]).toEqual([true, true])
      expect(() => kept.refuse([MEMBER, 'origin'], 'tiny')).not.toThrow()
      expect(() => kept.refuse([MEMBER], 'other')).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
    } finally {
      await running.peer.stop({ drain: 0 })
    }
  })
})
