/** What is bad in a private cluster, as people meet it on homes where no peer runs: a code in one line, and nothing is changed. */
import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { clusterPlaces, encodeToken, loadOrCreateIdentity } from '../../src/trust/index.ts'
import { call, json } from './support.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-bad-'))))
afterEach(() => rm(folder, { recursive: true, force: true }))

const homeOf = (name: string): string => join(folder, name)
const at = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
  json((await call([...args, '--json', '--home', homeOf(name)])).stdout)
const codeOf = async (name: string, ...args: string[]): Promise<unknown> =>
  ((await at(name, ...args)) as { error?: { code: string } }).error?.code

/** Of all that the home keeps of its cluster, byte for byte. */
async function stateOf(name: string): Promise<string> {
  const hash = createHash('sha256')
  for (const part of ['cluster', 'keys']) {
    const files = await readdir(join(homeOf(name), part), { recursive: true }).catch((): string[] => [])
    // audit and membership anchors of what was refused are written anew; the log itself is what counts
    for (const file of files.filter((each) => !/-(wal|shm)$|audit\.anchor$/.test(each)).toSorted())
      hash.update(file).update(await readFile(join(homeOf(name), part, file)).catch(() => ''))
  }
  return hash.digest('hex')
}

describe('a token', () => {
  const token = encodeToken({
    cluster: '5c'.repeat(32),
    invite: '0123456789abcdef',
    secret: new Uint8Array(16).fill(7),
    addresses: [`/ip4/127.0.0.1/tcp/1/p2p/12D3KooWKRyzVWW6ChFjQjK4miCty85Niy48tpPV95XdKu1BcvMA`],
  })
  const flipped = (index: number): string =>
    `${token.slice(0, index)}${token[index] === 'q' ? 'p' : 'q'}${token.slice(index + 1)}`

  it.each([
    ['cut off', token.slice(0, -9)],
    ['with a flipped character', flipped(30)],
    ['with another in its check', flipped(token.length - 2)],
    ['of another kind', token.replace(/^[a-z]+1/, 'wftx1')],
    ['of nothing', 'wfti1'],
  ])('%s is refused by its form, before anybody is asked, and leaves no cluster', async (_what, bad) => {
    await loadOrCreateIdentity({ directory: join(homeOf('b'), 'keys') })
    const before = await stateOf('b')
    expect(await codeOf('b', 'join', bad)).toMatch(/^WEFT-(TRU-150|DAT-\d+|CLI-\d+|STO-\d+)$/)
    expect(await stateOf('b')).toBe(before)
    expect(await codeOf('b', 'cluster', 'show')).toBe('WEFT-TRU-170')
  })
})

describe('a membership log on the disk', () => {
  beforeEach(async () => {
    await at('a', 'cluster', 'create', 'north')
    for (let n = 0; n < 3; n++) await at('a', 'cluster', 'rotate')
  })

  it.each<[string, string, RegExp]>([
    ['with a gap', 'DELETE FROM entries WHERE height = 2', /^WEFT-TRU-107$/],
    [
      'with two entries that have changed places',
      'UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE height = 1) WHERE height = 2',
      /^WEFT-TRU-10[27]$/,
    ],
    [
      'of a version that is not known',
      `UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '"v":1', '"v":2') AS BLOB) WHERE height = 2`,
      /^WEFT-TRU-10[17]$/,
    ],
    [
      'with a kind that is not known',
      `UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '"rotate"', '"bless"') AS BLOB) WHERE height = 2`,
      /^WEFT-TRU-10[17]$/,
    ],
    ['that has been cut', 'DELETE FROM entries WHERE height = 4', /^WEFT-TRU-10[678]$/],
  ])('%s is refused by code, and no entry is added to it', async (_what, change, code) => {
    const { log } = clusterPlaces(homeOf('a'))
    const database = new DatabaseSync(log)
    database.exec(change)
    database.close()
    const before = await stateOf('a')
    expect(await codeOf('a', 'cluster', 'show', '--verify')).toMatch(code)
    expect(await codeOf('a', 'cluster', 'rotate')).toMatch(code)
    expect(await codeOf('a', 'invite', 'ls')).toMatch(code)
    expect(await stateOf('a')).toBe(before)
  })
})

describe('two of three admins', () => {
  it('go on when one is lost; when two are, the root key alone has a way out, and no other key', async () => {
    const ids = Object.fromEntries(
      await Promise.all(
        ['b', 'c'].map(
          async (name) => [name, (await loadOrCreateIdentity({ directory: join(homeOf(name), 'keys') })).id] as const,
        ),
      ),
    )
    await at('a', 'cluster', 'create', 'north', '--admins', '2of3')
    const root = join(folder, 'root.key')
    await copyFile(clusterPlaces(homeOf('a')).rootKey, root)
    const file = (name: string): string => join(folder, `${name}.json`)
    for (const name of ['b', 'c', 'b']) {
      await rm(file(name), { force: true })
      await at('a', 'invite', 'create', '--offline', '--peer', ids[name]!, '--role', 'admin', '--out', file(name))
    }
    for (const name of ['b', 'c'])
      expect(await at(name, 'join', file(name))).toMatchObject({ schema: 'weft.joined/1', role: 'admin' })
    // one is lost: two sign
    const proposal = join(folder, 'proposal.json')
    expect(await at('a', 'revoke', ids['c']!, '--reason', 'lost', '--out', proposal)).toMatchObject({
      schema: 'weft.cluster-proposed/1',
      missing: 1,
    })
    // the same admin twice is one signature
    expect(await at('a', 'cluster', 'sign', proposal)).not.toMatchObject({ schema: 'weft.cluster-changed/1' })
    expect(await at('a', 'cluster', 'show')).toMatchObject({ height: 3 })
    expect(await at('b', 'cluster', 'sign', proposal)).toMatchObject({ kind: 'revoke', peer: ids['c'] })
    const { admins } = (await at('b', 'cluster', 'show')) as { admins: string[] }
    expect(admins).toHaveLength(2)
    // the second is lost too: the last one cannot take it out, and neither can another cluster's root key
    const lost = admins.find((id) => id !== ids['b'])!
    expect(await at('b', 'revoke', lost, '--reason', 'lost')).toMatchObject({ missing: 1 })
    expect(await at('b', 'cluster', 'show')).toMatchObject({ height: 4 })
    await at('other', 'cluster', 'create', 'south')
    const before = await stateOf('b')
    const wrong = clusterPlaces(homeOf('other')).rootKey
    expect(await codeOf('b', 'cluster', 'recover', '--root-key', wrong)).toBe('WEFT-TRU-173')
    await writeFile(join(folder, 'none.key'), 'no key', { mode: 0o600 })
    expect(await codeOf('b', 'cluster', 'recover', '--root-key', join(folder, 'none.key'))).toBe('WEFT-TRU-173')
    expect(await stateOf('b')).toBe(before)
    expect(await at('b', 'cluster', 'recover', '--root-key', root)).toMatchObject({ kind: 'set-admins' })
    expect(await at('b', 'cluster', 'show')).toMatchObject({ admins: [ids['b']] })
    // it decides alone from then on, also the second time
    expect(await at('b', 'revoke', lost, '--reason', 'lost')).toMatchObject({ kind: 'revoke', peer: lost })
    expect(await at('b', 'cluster', 'rotate')).toMatchObject({ schema: 'weft.cluster-changed/1' })
    expect(await at('b', 'cluster', 'show', '--verify')).toMatchObject({ members: [{ id: ids['b'] }] })
  }, 60_000)
})
