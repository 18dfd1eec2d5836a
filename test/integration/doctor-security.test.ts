/**
 * `weft doctor --security` on real machines: two members that are set up as docs/security/hardening.md has it, of which nothing is
 * wrong, and a third that has everything wrong that one machine can have.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import { foundClusterHomes } from '../peer/support/cluster-homes.ts'
import { isWhole } from '../whole.ts'
import { createLab, joined, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const GOOD_POLICY = {
  schema: 'weft.policy/1',
  rules: [{ name: 'members', allow: ['connect', 'compute', 'route'] }],
}
/** Two hours ahead, of all that asks for the date. */
const AHEAD = `
const { now } = Date
const real = Date
const ahead = 2 * 3600e3
Date.now = () => now() + ahead
globalThis.Date = new Proxy(real, { construct: (of, given) => new of(...(given.length ? given : [now() + ahead])) })
`

describe.skipIf(!isWhole || process.platform !== 'linux')('weft doctor --security (in whole runs)', () => {
  let lab: Lab
  let secret: string
  const peers: RealPeer[] = []
  beforeAll(async () => {
    lab = await createLab()
    secret = lab.home('secret')
    await writeFile(secret, 'six words that nobody would guess\n', { mode: 0o600 })
    const homes = ['a', 'b', 'bad'].map((name) => ({ name, role: 'member' as const }))
    await foundClusterHomes(join(lab.home('a'), '..'), homes)
  }, 60_000)
  afterAll(() => lab.stop())

  const command = (name: string, ...args: string[]) => weft([...args, '--home', lab.home(name)])
  const checks = async (name: string): Promise<{ readonly status: number | null; readonly found: Finding[] }> => {
    const { status, stdout } = await command(name, 'doctor', '--security', '--json')
    return { status, found: json(stdout)['checks'] as Finding[] }
  }
  interface Finding {
    readonly id: string
    readonly level: string
    readonly message: string
    readonly fix: string | null
  }

  it('finds nothing on machines that are set up by the book', async () => {
    const policy = lab.home('policy.json')
    await writeFile(policy, JSON.stringify(GOOD_POLICY), { mode: 0o600 })
    for (const name of ['a', 'b']) {
      expect(await command(name, 'key', 'encrypt', '--passphrase-file', secret)).toMatchObject({ status: 0 })
      const bootstrap = peers.flatMap(({ addresses }) => ['--bootstrap', addresses[0]!])
      const args = ['--lan', 'off', '--http', '127.0.0.1:0', '--passphrase-file', secret, ...bootstrap]
      peers.push(await lab.start(name, args))
      expect(await command(name, 'policy', 'apply', policy, '--passphrase-file', secret)).toMatchObject({ status: 0 })
      const to = ['--to', lab.home(`backup-${name}`), '--passphrase-file', secret]
      expect(await command(name, 'backup', 'create', ...to)).toMatchObject({ status: 0 })
    }
    await joined(peers)
    for (const name of ['a', 'b']) {
      let last: Awaited<ReturnType<typeof checks>> | undefined
      // heads of the audit log are told every few seconds
      await until('nothing is wrong', async () => {
        last = await checks(name)
        return last.found.every(({ level }) => level === 'ok')
      }).catch(() => expect(last?.found.filter(({ level }) => level !== 'ok')).toEqual([]))
      expect(last?.status).toBe(0)
    }
  }, 600_000)

  it('says of a machine where all is wrong what it is, and what to do', async () => {
    const [a] = peers
    const shift = lab.home('shift.mjs')
    await writeFile(shift, AHEAD)
    expect(await command('bad', 'key', 'create', '--name', 'somebody')).toMatchObject({ status: 0 })
    const args = ['--http', '0.0.0.0:0', '--bootstrap', a!.addresses[0]!]
    const bad = await lab.start('bad', args, ['env', `NODE_OPTIONS=--import=${shift}`])
    await joined([...peers, bad])
    // somebody else sends garbage to its door, until its host is kept out
    const port = Number(/\/tcp\/(\d+)/.exec(bad.addresses[0]!)![1])
    await until('somebody is kept out', async () => {
      const garbage = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.9' })
      garbage.on('connect', () => garbage.write(Buffer.alloc(8_192, 0xff)))
      await new Promise((resolve) => garbage.on('error', resolve).on('close', resolve))
      return ((await bad.access.status()).site?.bans.length ?? 0) > 0
    })
    await chmod(bad.home, 0o755)
    await chmod(join(bad.home, 'keys', 'identity.key'), 0o644)
    await mkdir(join(bad.home, 'state'), { recursive: true })
    const { status, found } = await checks('bad')
    const levels = Object.fromEntries(found.map(({ id, level }) => [id, level]))
    expect(levels).toMatchObject({
      'key-modes': 'fail',
      'keys-at-rest': 'fail',
      'api-exposure': 'warn',
      policy: 'warn',
      backup: 'warn',
      clock: 'fail',
      bans: 'warn',
    })
    expect(status).toBe(8)
    const said = (id: string): string => found.find((one) => one.id === id)!.message
    expect(said('clock')).toMatch(/2h00m ahead of most of the others: 2 of 2 connected peers say so/)
    expect(said('bans')).toMatch(/host:127\.0\.0\.9 is kept out until .*: it sent frames that are none/)
    for (const { level, fix } of found) expect(fix === null).toBe(level === 'ok')
    // the audit log has the ban too, with its reason and its end; nothing is asked of it while others may read the key
    await chmod(join(bad.home, 'keys', 'identity.key'), 0o600)
    await chmod(bad.home, 0o700)
    const told = json((await command('bad', 'audit', 'tail', '--what', 'peer.banned', '--json')).stdout)
    expect(told['entries']).toMatchObject([
      { who: 'host:127.0.0.9', facts: { offence: 'malformed', until: expect.stringMatching(/^\d{4}-/) as string } },
    ])
    // and the others name whose clock it is
    const there = (await checks('a')).found.find(({ id }) => id === 'clock')
    expect(there).toMatchObject({ level: 'warn', message: expect.stringContaining('the clock of bad is 2h00m ahead') })
  }, 600_000)
})
