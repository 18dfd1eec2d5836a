/** What commands change on the files of a home where no peer runs stands in the same audit log as what its peer did. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { call, json } from './support.ts'

let home: string
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'weft-audit-alone-'))))
afterEach(() => rm(home, { recursive: true, force: true }))

const run = async (...args: string[]): Promise<Record<string, unknown>> =>
  json((await call([...args, '--json', '--home', home])).stdout)

interface Line {
  readonly who: string
  readonly what: string
  readonly target: string | null
  readonly result: string
  readonly facts: Readonly<Record<string, unknown>>
}

async function deeds(): Promise<Line[]> {
  const { stdout } = await call(['audit', 'tail', '--lines', '0', '--jsonl', '--home', home])
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
    .filter(({ what }) => what.startsWith('cluster.'))
}

it('names each change of a cluster with its result, before and after the peer has run, and verifies', async () => {
  const peer = newIdentity().id
  const { id } = await run('cluster', 'create', 'northwind')
  const address = '/ip4/127.0.0.1/tcp/7300'
  const invite = await run('invite', 'create', '--address', address)
  await run('invite', 'rm', String(invite['id']))
  await run('invite', 'create', '--offline', '--peer', peer, '--out', join(home, 'admission.json'))
  await run('cluster', 'show')
  await run('invite', 'ls')
  const through = await createPeer({ home, listen: null, lan: 'off', threads: 1, logLevel: 'silent' })
  await through.cluster!.run({ do: 'rotate' })
  await through.stop({ drain: 0 })
  const { members } = (await run('cluster', 'show')) as { members: { id: string; name: string }[] }
  // Nobody has named it: it goes by what it calls itself.
  const { name } = members.find(({ id }) => id === peer)!
  expect(await run('revoke', name, '--reason', 'lost')).toMatchObject({ schema: 'weft.cluster-changed/1' })
  expect(await run('revoke', peer, '--reason', 'lost')).toMatchObject({ schema: 'weft.error/1' })
  const damaged = join(home, 'proposal.json')
  await writeFile(damaged, 'no proposal')
  expect(await run('cluster', 'sign', damaged)).toMatchObject({ error: { code: 'WEFT-TRU-174' } })
  const lines = await deeds()
  expect(lines.map(({ what, result }) => `${what} ${result}`)).toEqual([
    'cluster.create ok',
    'cluster.invite ok',
    'cluster.uninvite ok',
    'cluster.admit ok',
    'cluster.rotate ok',
    'cluster.revoke ok',
    'cluster.sign failed',
  ])
  expect(lines.map(({ target }) => target)).toEqual([id, null, null, peer, null, peer, null])
  expect(lines.at(-1)!.facts).toMatchObject({ code: 'WEFT-TRU-174' })
  expect(new Set(lines.map(({ who }) => who))).toEqual(new Set(['owner']))
  await run('cluster', 'leave')
  expect((await deeds()).at(-1)).toMatchObject({ what: 'cluster.leave', result: 'ok' })
  expect(await run('audit', 'verify')).toMatchObject({ ok: true })
  const text = await readFile(join(home, 'state', 'audit.db'), 'latin1')
  expect(text).not.toContain('northwind')
}, 60_000)

it('changes nothing where it cannot be written down', async () => {
  await run('cluster', 'create', 'northwind')
  await rm(join(home, 'keys', 'audit.anchor'))
  const shown = async (): Promise<unknown[]> => {
    const { height, head, epoch } = await run('cluster', 'show')
    return [height, head, epoch]
  }
  const before = await shown()
  const refused = await run('cluster', 'rotate')
  expect(refused).toMatchObject({ schema: 'weft.error/1' })
  expect(await shown()).toEqual(before)
}, 30_000)
