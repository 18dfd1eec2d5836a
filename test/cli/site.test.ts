/** What a site's people type: policy, audit, keys at rest, backup, doctor --security; on a home without a running peer. */
import { mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { identityOwner, newIdentity } from '../../src/trust/index.ts'
import type { AdminCall } from '../../src/api/index.ts'
import { KEY, start } from '../api/support.ts'
import { call, json, jsonLines } from './support.ts'
import type { InProcess } from './support.ts'

let folder: string
let home: string
let secret: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-cli-site-'))
  home = join(folder, 'home')
  secret = await file('secret', 'correct horse battery staple\n')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const here = (...argv: string[]): Promise<InProcess> => call([...argv, '--home', home])
async function file(name: string, content: string | object): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
  return path
}

const PEER = newIdentity().id
const POLICY = {
  schema: 'weft.policy/1',
  egress: { activations: [PEER] },
  rules: [
    { name: 'all', allow: ['connect'] },
    { name: 'ours', allow: ['compute', 'route'], peers: [PEER], models: ['tiny*'] },
  ],
}

describe('weft policy', () => {
  test('checks a file, and tells a mistake with line, column and what was meant', async () => {
    const good = await file('good.json', POLICY)
    expect(await here('policy', 'check', good, '--json')).toMatchObject({ status: 0 })
    const bad = await file('bad.json', '{\n "schema": "weft.policy/1",\n "ruels": []\n}')
    const { status, stderr } = await here('policy', 'check', bad)
    expect(status).toBe(2)
    expect(stderr).toContain(`${bad}:3:2: there is no "ruels" here; did you mean "rules"?`)
    const told = await here('policy', 'check', bad, '--json')
    expect(json(told.stdout)).toMatchObject({ ok: false, problems: [{ line: 3, column: 2 }, {}] })
  })

  test('tells all mistakes of a file, not the first alone', async () => {
    const bad = await file('bad.json', '{\n "schema": "weft.policy/1",\n "ruels": []\n}')
    const { stdout, stderr } = await here('policy', 'check', bad)
    const told = json((await here('policy', 'check', bad, '--json')).stdout) as { problems: { message: string }[] }
    expect(told.problems).toHaveLength(2)
    for (const { message } of told.problems) expect(stdout + stderr).toContain(message)
  })

  test('does not say that somebody is sent what may leave to nobody', async () => {
    const rules = [{ name: 'loose', allow: ['route'], models: ['tiny*'] }]
    await here('policy', 'apply', await file('closed.json', { schema: 'weft.policy/1', rules }))
    expect((await here('policy', 'explain')).stdout).toMatch(
      /be sent activations of prompts of this peer: nobody, since nothing of it may leave; a rule would allow: [a]ny peer/,
    )
    await here('policy', 'apply', await file('open.json', { ...POLICY, rules }))
    expect((await here('policy', 'explain')).stdout).toMatch(
      /be sent activations of prompts of this peer: of those that it may leave to: [a]ny peer/,
    )
  })

  test('says of a file that is not there, is a folder or never ends what it is, and changes nothing', async () => {
    const code = async (...argv: string[]): Promise<[number | null, string | undefined]> => {
      const { status, stderr } = await here(...argv)
      return [status, /WEFT-[A-Z]+-\d+/.exec(stderr)?.[0]]
    }
    const [gone, request] = [join(folder, 'gone'), await file('request.json', { action: 'connect', peer: PEER })]
    for (const path of [gone, folder]) {
      expect(await code('policy', 'apply', path)).toEqual([4, 'WEFT-CLI-005'])
      expect(await code('policy', 'check', path)).toEqual([4, 'WEFT-CLI-005'])
      expect(await code('policy', 'test', request, '--policy', path)).toEqual([4, 'WEFT-CLI-005'])
    }
    expect(await code('policy', 'apply', '/dev/zero')).toEqual([2, 'WEFT-TRU-070'])
    expect(await code('policy', 'test', '/dev/zero')).toEqual([2, 'WEFT-TRU-074'])
    expect(existsSync(join(home, 'policy.json'))).toBe(false)
  })

  test('applies one, whole or not at all, into the audit log too, and takes it out by name', async () => {
    const good = await file('good.json', POLICY)
    expect(json((await here('policy', 'apply', good, '--json')).stdout)).toMatchObject({ rules: 2, running: null })
    expect(await readFile(join(home, 'policy.json'), 'utf8')).toBe(JSON.stringify(POLICY))
    const bad = await file('bad.json', '{}')
    expect((await here('policy', 'apply', bad)).status).toBe(2)
    expect(await readFile(join(home, 'policy.json'), 'utf8')).toBe(JSON.stringify(POLICY))
    expect((await here('policy', 'remove')).status).toBe(0)
    expect((await here('policy', 'check')).status).toBe(4)
    const { entries } = json((await here('audit', 'tail', '--json')).stdout) as { entries: { what: string }[] }
    expect(entries.map(({ what }) => what)).toEqual(['policy.force', 'policy.remove'])
  })

  test('takes one out that is broken, or gone: the log knows that it was in force', async () => {
    await here('policy', 'apply', await file('good.json', POLICY))
    for (const spoil of [() => writeFile(join(home, 'policy.json'), '{'), () => rm(join(home, 'policy.json'))]) {
      await here('policy', 'apply', await file('good.json', POLICY))
      await spoil()
      const { status, stdout } = await here('policy', 'remove', '--json')
      expect([status, json(stdout)]).toMatchObject([0, { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string }])
      expect(existsSync(join(home, 'policy.json'))).toBe(false)
      expect((await here('policy', 'remove')).status).toBe(4)
    }
    // One that no peer has taken up yet.
    await writeFile(join(home, 'policy.json'), '{', { mode: 0o600 })
    expect((await here('policy', 'remove')).status).toBe(0)
  })

  test('says of a request what is decided, by which rule, and with its status', async () => {
    const policy = await file('good.json', POLICY)
    const ask = async (request: object): Promise<InProcess> =>
      here('policy', 'test', await file('request.json', request), '--policy', policy, '--json')
    const allowed = await ask({ action: 'compute', peer: PEER, model: 'tiny:1m' })
    expect([allowed.status, json(allowed.stdout)]).toMatchObject([0, { allow: true, rule: 'ours' }])
    const denied = await ask({ action: 'route', peer: newIdentity().id, model: 'tiny:1m' })
    expect([denied.status, json(denied.stdout)]).toMatchObject([5, { allow: false, rule: 'egress' }])
    const typo = await ask({ action: 'compute', peer: PEER, modle: 'tiny' })
    expect(json(typo.stdout)).toMatchObject({
      error: { code: 'WEFT-TRU-074', message: expect.stringContaining('did you mean "model"?') as string },
    })
  })

  test('says in sentences what may leave, who may what, and what a holder of a stage learns', async () => {
    await here('policy', 'apply', await file('good.json', POLICY))
    const { stdout, stderr } = await here('policy', 'explain')
    expect(stdout).toMatch(/activations of prompts .*: to one peer/)
    expect(stdout).toMatch(/labelled data: to nobody/)
    expect(stdout).toMatch(/have its sessions computed here: one peer, models like tiny\* \(ours\)/)
    expect(stderr).toMatch(/can turn them back into the prompt/)
    const peer = json((await here('policy', 'explain', PEER, '--json')).stdout) as {
      actions: { action: string; allow: boolean }[]
    }
    expect(peer.actions.filter(({ allow }) => allow).map(({ action }) => action)).toEqual([
      'connect',
      'compute',
      'route',
    ])
  })
})

describe('weft audit', () => {
  test('tells, verifies, exports and proves; a changed entry has its number and status 8', async () => {
    for (const name of ['a', 'b', 'c']) await here('key', 'create', '--name', name)
    const { entries } = json((await here('audit', 'tail', '--json')).stdout) as { entries: { target: string }[] }
    expect(entries).toHaveLength(3)
    await here('key', 'revoke', entries[0]!.target.slice(4))
    expect(json((await here('audit', 'verify', '--json')).stdout)).toMatchObject({ ok: true, entries: 4, unsigned: 0 })
    const [exported, proof] = [join(folder, 'all.jsonl'), join(folder, 'one.jsonl')]
    await here('audit', 'export', '-o', exported)
    expect(jsonLines(await readFile(exported, 'utf8'))).toHaveLength(5)
    expect((await here('audit', 'verify', exported)).status).toBe(0)
    await here('audit', 'prove', '4', '-o', proof)
    const shown = await readFile(proof, 'utf8')
    expect(shown).toContain('key.revoke')
    expect(shown).not.toContain('key.create')
    const told = await here('audit', 'verify', proof)
    expect(told).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/key\.revoke.*\nthis entry is in the log of/s),
    })
    expect(json((await here('audit', 'verify', proof, '--json')).stdout)).toMatchObject({
      ok: true,
      proven: { seq: 4, what: 'key.revoke' },
    })
    expect((await here('audit', 'prove', '9')).status).toBe(4)
    const database = new DatabaseSync(join(home, 'state', 'audit.db'))
    database.exec(`UPDATE contents SET content = replace(content, 'key.create', 'key.delete') WHERE seq = 2`)
    database.close()
    const { status, stderr } = await here('audit', 'verify')
    expect(status).toBe(8)
    expect(stderr).toMatch(/entry 2: its text is not the one that was hashed {2}WEFT-TRU-080/)
  })

  test('that cannot be read is not exported, and no key is left that it does not have', async () => {
    await here('key', 'create', '--name', 'before')
    const path = join(home, 'state', 'audit.db')
    await truncate(path, 5_000)
    expect((await here('key', 'create', '--name', 'after')).stderr).toMatch(/WEFT-TRU-080/)
    const { keys } = json((await here('key', 'ls', '--json')).stdout) as { keys: { name: string }[] }
    expect(keys.map(({ name }) => name)).toEqual(['before'])
    const exported = join(folder, 'all.jsonl')
    for (const argv of [['export'], ['prove', '1']])
      expect((await here('audit', ...argv, '-o', exported)).status, argv[0]).toBeGreaterThan(0)
    expect(existsSync(exported)).toBe(false)
  })

  test('has a call by a key of the API, with the id of the key, its route and status, and no secret', async () => {
    const calls: AdminCall[] = []
    const keys = {
      verify: async (given: string) => (given === KEY ? { id: 'abcdef012345', scopes: ['admin'] } : null),
    }
    const running = await start({ host: '0.0.0.0', needs: { keys, called: (made) => void calls.push(made) } })
    const post = (key: string): Promise<Response> =>
      fetch(`${running.url}/api/v1/undeploy`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: '{"model":"tiny"}',
      })
    expect((await post(KEY)).status).toBe(200)
    expect((await post('wrong')).status).toBe(401)
    await running[Symbol.asyncDispose]()
    expect(calls).toEqual([
      { who: 'key:abcdef012345', route: '/api/v1/undeploy', status: 200 },
      { who: 'stranger', route: '/api/v1/undeploy', status: 401 },
    ])
  })
})

describe('keys at rest and backup', () => {
  test('key encrypt, a backup of it, and the same on an empty home', async () => {
    await here('key', 'create')
    const id = await identityOwner(join(home, 'keys'))
    expect((await here('key', 'encrypt')).stderr).toMatch(/WEFT-TRU-091/)
    expect(json((await here('key', 'encrypt', '--passphrase-file', secret, '--json')).stdout)).toMatchObject({
      files: ['identity.key'],
      kdf: { N: 131_072 },
    })
    const wrong = await file('wrong', 'incorrect horse battery')
    expect((await here('key', 'decrypt', '--passphrase-file', wrong)).stderr).toMatch(/WEFT-TRU-090/)
    // Without the passphrase the log goes on, unsigned.
    await here('key', 'create')
    expect(json((await here('audit', 'verify', '--json')).stdout)).toMatchObject({ ok: true, unsigned: 1 })
    // What leaves is signed whole, so it needs the key.
    const exported = join(folder, 'all.jsonl')
    expect((await here('audit', 'export', '-o', exported)).stderr).toMatch(/WEFT-TRU-091/)
    expect(existsSync(exported)).toBe(false)
    expect((await here('audit', 'export', '-o', exported, '--passphrase-file', secret)).status).toBe(0)
    expect(json((await here('audit', 'verify', exported, '--json')).stdout)).toMatchObject({ ok: true, unsigned: 0 })
    const to = join(folder, 'to')
    const made = await here('backup', 'create', '--to', to, '--passphrase-file', secret, '--json')
    expect(json(made.stdout)).toMatchObject({ peer: id, covered: expect.arrayContaining(['keys']) as string[] })
    expect((await here('backup', 'verify', '--passphrase-file', wrong)).stderr).toMatch(/WEFT-STO-042/)
    const other = join(folder, 'other')
    const back = await call(['backup', 'restore', '--from', to, '--passphrase-file', secret, '--home', other])
    expect(back.status).toBe(0)
    expect(await identityOwner(join(other, 'keys'))).toBe(id)
    expect((await call(['audit', 'verify', '--home', other])).status).toBe(0)
    expect(await readFile(join(other, 'keys', 'api-keys.json'))).toEqual(
      await readFile(join(home, 'keys', 'api-keys.json')),
    )
    // Meanwhile the first has gone on.
    await here('key', 'create', '--passphrase-file', secret)
    expect((await here('backup', 'restore', '--passphrase-file', secret)).stderr).toMatch(/WEFT-STO-044/)
  }, 60_000)
})

describe('keys at rest', () => {
  test('of a cluster are opened by whoever needs them: its root key, and the identity of a peer that does not run', async () => {
    expect((await here('cluster', 'create', 'north')).status).toBe(0)
    const root = join(home, 'keys', 'cluster-root.key')
    const sealed = await here('key', 'encrypt', '--passphrase-file', secret, '--json')
    expect(json(sealed.stdout)).toMatchObject({ files: ['cluster-root.key', 'identity.key'] })
    const wrong = await file('wrong', 'incorrect horse battery')
    const recover = ['cluster', 'recover', '--root-key', root]
    for (const argv of [['cluster', 'rotate'], recover])
      expect((await here(...argv)).stderr, argv[1]).toMatch(/WEFT-TRU-091/)
    expect((await here(...recover, '--passphrase-file', wrong)).stderr).toMatch(/WEFT-TRU-090/)
    expect((await here('cluster', 'rotate', '--passphrase-file', secret)).status).toBe(0)
    // At a terminal it is asked for once, whatever it opens.
    const { status, stderr } = await call([...recover, '--home', home], { typed: ['correct horse battery staple'] })
    expect([status, stderr]).toEqual([0, expect.stringContaining('one admin decides now')])
    expect(await readFile(root, 'utf8')).toMatch(/^{/)
  }, 60_000)
})

describe('weft backup', () => {
  const backup = (...argv: string[]): Promise<InProcess> => here('backup', ...argv, '--passphrase-file', secret)

  test('goes back over the home that it was made of, until that has gone on', async () => {
    await here('key', 'create')
    const to = join(folder, 'to')
    expect((await backup('create', '--to', to)).status).toBe(0)
    const path = join(home, 'keys', 'api-keys.json')
    const before = await readFile(path, 'utf8')
    await writeFile(path, 'damaged')
    expect((await backup('restore')).status).toBe(0)
    expect(await readFile(path, 'utf8')).toBe(before)
    const { entries } = json((await here('audit', 'tail', '--json')).stdout) as {
      entries: { what: string; result: string }[]
    }
    expect(entries.map(({ what, result }) => [what, result])).toEqual([
      ['key.create', 'ok'],
      ['backup.create', 'allowed'],
      ['backup.restore', 'ok'],
    ])
    expect(json((await here('audit', 'verify', '--json')).stdout)).toMatchObject({ ok: true })
    // That it was put back is in the log now, and stays there.
    const again = await backup('restore')
    expect(again.stderr).toMatch(/WEFT-STO-044/)
    expect(again.stderr).toMatch(/audit has 3 entries here, and 2 in the backup/)
  })

  test('says what it has not, with status 10 where that should have been in it', async () => {
    await here('key', 'create')
    await writeFile(join(home, 'notes.txt'), 'x')
    const to = join(folder, 'to')
    const made = await backup('create', '--to', to)
    expect([made.status, made.stderr]).toEqual([0, expect.stringContaining('no part of a mesh home: notes.txt')])
    await symlink(folder, join(home, 'partitions'))
    const partly = await backup('create', '--json')
    expect(partly.status).toBe(10)
    expect(json(partly.stdout)['omitted']).toContainEqual({ path: 'partitions', why: 'a link' })
    expect((await backup('verify')).stderr).toMatch(/not in it: partitions \(a link\)/)
    // One that fails says so in the log.
    await rm(join(to, 'chunks'), { recursive: true })
    await writeFile(join(to, 'chunks'), 'no folder')
    expect((await backup('create')).status).not.toBe(0)
    const { entries } = json((await here('audit', 'tail', '--json')).stdout) as { entries: object[] }
    expect(entries.slice(-2)).toMatchObject([
      { what: 'backup.create', result: 'allowed' },
      { what: 'backup.create', result: 'failed' },
    ])
  })

  test('shows nothing of a passphrase that is typed as soon as it is asked for', async () => {
    await here('key', 'create')
    await here('key', 'encrypt', '--passphrase-file', secret)
    const shown: boolean[] = []
    const asked = (raw: boolean): void => void shown.push(!raw)
    const typed = ['wrong horse 1', 'correct horse battery staple']
    expect((await call(['key', 'decrypt', '--home', home], { typed, asked })).status).toBe(0)
    expect(shown).toEqual([false, false])
  })

  test('asks at a terminal: three wrong passphrases, for keys and backups, are refused with a code and change nothing', async () => {
    await here('key', 'create')
    const to = join(folder, 'to')
    await backup('create', '--to', to)
    await here('key', 'encrypt', '--passphrase-file', secret)
    const files = async (): Promise<string[]> => (await readdir(folder, { recursive: true })).sort()
    const [before, key] = [await files(), await readFile(join(home, 'keys', 'identity.key'))]
    const wrong = ['wrong horse 1', 'short', 'wrong horse 3']
    const at = (typed: readonly string[], ...argv: string[]): Promise<InProcess> =>
      call([...argv, '--home', home], { typed })
    for (const argv of [
      ['backup', 'restore'],
      ['backup', 'create'],
      ['key', 'decrypt'],
    ]) {
      const { status, stderr } = await at(wrong, ...argv)
      expect([argv[1], status, stderr]).toEqual([argv[1], 5, expect.stringContaining('WEFT-TRU-093')])
    }
    expect(await files()).toEqual(before)
    expect(await readFile(join(home, 'keys', 'identity.key'))).toEqual(key)
    expect((await at([...wrong.slice(0, 2), 'correct horse battery staple'], 'backup', 'verify')).status).toBe(0)
  }, 60_000)
})

test('doctor --security says of each thing whether it is well, and what to do', async () => {
  await here('key', 'create')
  const checks = async (): Promise<Record<string, string>> => {
    const { checks: all } = json((await here('doctor', '--security', '--json')).stdout) as {
      checks: { id: string; level: string; fix: string | null }[]
    }
    for (const { level, fix } of all) expect(fix === null).toBe(level === 'ok')
    return Object.fromEntries(all.map(({ id, level }) => [id, level]))
  }
  const wellOff = {
    'key-modes': 'ok',
    'keys-at-rest': 'warn',
    policy: 'warn',
    audit: 'warn',
    backup: 'warn',
    supply: 'ok',
  }
  expect(await checks()).toMatchObject(wellOff)
  await here('policy', 'apply', await file('good.json', POLICY))
  expect(await checks()).toMatchObject({ policy: 'ok' })
  await rm(join(home, 'policy.json'))
  await rm(join(home, 'keys', 'audit.anchor'))
  expect(await checks()).toMatchObject({ policy: 'fail', audit: 'fail' })
  expect((await here('doctor', '--security')).status).toBe(8)
  expect(existsSync(join(home, 'policy.json'))).toBe(false)
})

describe('weft backup create into something that is no folder', () => {
  const targets = ['/dev/null', '/dev/null/x', ...(existsSync('/proc/self') ? ['/proc/x', '/proc/self/x/y'] : [])]
  test.each([...targets, 'FILE'])('%s is refused in one line with a code, and nothing is changed', async (target) => {
    await here('cluster', 'create', 'north')
    const to = target === 'FILE' ? await file('a-file', 'mine') : target
    const before = await readdir(home, { recursive: true })
    const { status, stderr } = await here('backup', 'create', '--to', to, '--passphrase-file', secret)
    expect(status).not.toBe(0)
    expect(stderr.split('\n')[0]).toMatch(/^error: .*WEFT-STO-008$/)
    expect(await readdir(home, { recursive: true })).toEqual(before)
    if (target === 'FILE') expect(await readFile(to, 'utf8')).toBe('mine')
  })
})

describe('weft backup keep and kept', () => {
  test('say for whom, without a running peer, and take a peer that is not there by its id alone', async () => {
    expect(await here('backup', 'keep', PEER, '--limit', '5MB')).toMatchObject({ status: 0 })
    const { stdout } = await here('backup', 'kept', '--json')
    expect(json(stdout)).toMatchObject({ kept: [{ peer: PEER, limit: 5e6, backups: 0, bytes: 0 }] })
    expect(await here('backup', 'keep', 'somebody')).toMatchObject({ status: 4 })
    expect(await here('backup', 'keep')).toMatchObject({ status: 2 })
    expect(await here('backup', 'fetch', PEER)).toMatchObject({ status: 2 })
    expect(await here('backup', 'send', PEER, '--from', home)).toMatchObject({ status: 3 })
  })
})
