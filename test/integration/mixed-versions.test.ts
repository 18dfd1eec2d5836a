/**
 * R20: peers of two states of weft in one mesh, the older one out of this repository's history. They join, share a model and
 * give the answer of one process, whoever asks; or refuse by a code that names versions. Nobody fails to read the other.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { BIN, json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { answer, createLab, greedy, joined, placement, TINY } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Some hundred changes ago, with packages that are those of today. It stays the same: what speaks with it speaks with what came after it. */
const OLDER = '0c240cb3a781105893ef7a7beffdf09c45cd99fb'
const LENGTH = 48

function git(...args: readonly string[]): Buffer {
  return execFileSync('git', ['-C', ROOT, ...args], { maxBuffer: 256 << 20, stdio: ['ignore', 'pipe', 'ignore'] })
}

/** Why the older one cannot be had here; undefined: it can. */
function missing(): string | undefined {
  if (!isLong) return 'it runs with the long tests'
  let wanted: ReadonlyMap<string, string>
  try {
    wanted = versionsIn(git('show', `${OLDER}:package-lock.json`))
  } catch {
    return `commit ${OLDER.slice(0, 7)} is not in this clone`
  }
  const installed = versionsIn(readFileSync(join(ROOT, 'package-lock.json')))
  const other = [...wanted].find(([path, version]) => installed.get(path) !== version)
  return other && `commit ${OLDER.slice(0, 7)} needs ${other.join(' ')}, and another is installed`
}

/** Of a lock file, by the folder of each package; the project itself is none. What came since does not disturb an older one. */
function versionsIn(lock: Buffer): ReadonlyMap<string, string> {
  const { packages } = JSON.parse(lock.toString()) as {
    readonly packages: Readonly<Record<string, { readonly version: string }>>
  }
  return new Map(Object.entries(packages).flatMap(([path, { version }]) => (path === '' ? [] : [[path, version]])))
}

const why = missing()

describe.runIf(isLong)(`two states of weft in one mesh${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let folder: string
  let older: string
  let lab: Lab

  beforeAll(() => {
    if (why !== undefined) return
    folder = mkdtempSync(join(tmpdir(), 'weft-older-'))
    execFileSync('tar', ['-x', '-C', folder], { input: git('archive', OLDER) })
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    older = join(folder, 'bin', 'weft')
  })
  afterAll(() => {
    if (why === undefined) rmSync(folder, { recursive: true })
  })
  beforeEach(async () => void (lab = await createLab()))
  afterEach(() => lab.stop())

  /** A model over both, asked at the first. */
  const shared = async (asked: RealPeer, other: RealPeer): Promise<void> => {
    await asked.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const alone = await answer(asked, greedy('tiny', LENGTH, { placement: 'local' }))
    expect(alone.error).toBeUndefined()
    const stages = placement('tiny', [
      [asked, 0, 1],
      [other, 1, 7],
      [asked, 7, 8],
    ])
    await asked.access.deploy('tiny', stages, () => undefined)
    const together = await answer(asked, greedy('tiny', LENGTH))
    expect(together.error).toBeUndefined()
    expect(together.route.map(({ peer }) => peer)).toContain(other.id)
    expect(together.ids).toEqual(alone.ids)
    expect(together.ids).toHaveLength(LENGTH)
  }

  /** Nothing that one said was refused, or could not be read, by another. */
  const understood = async (...peers: readonly RealPeer[]): Promise<void> => {
    for (const peer of peers) {
      const { counters } = await peer.access.status()
      const refused = ['frames_refused', 'records_refused', 'chunks_refused'].map((name) => [name, counters[name] ?? 0])
      expect(refused.filter(([, count]) => count !== 0)).toEqual([])
      const log = readFileSync(join(peer.home, 'logs', 'weft.log'), 'utf8')
      expect(log).not.toMatch(/WEFT-NET-00[138]|WEFT-DSC-10[12]/)
    }
  }

  // Of two ways one is a sample; both take a minute and a half.
  const sampled = <Case>(cases: readonly Case[]): readonly Case[] => (isWhole ? cases : cases.slice(0, 1))

  it.skipIf(why !== undefined).each(
    sampled([
      ['the newer one asks the older one', true],
      ['the older one asks the newer one', false],
    ] as const),
  )('%s', async (_, asksNewer) => {
    const [newer, old] = [await lab.start('newer'), await lab.startProgram('older', older)]
    await joined([newer, old])
    expect(old.child.spawnargs).toContain(older)
    expect(newer.child.spawnargs).toContain(BIN)
    await (asksNewer ? shared(newer, old) : shared(old, newer))
    await understood(newer, old)
  })

  it.skipIf(why !== undefined).each(
    sampled([
      ['founded by the older one, joined by the newer one', false],
      ['founded by the newer one, joined by the older one', true],
    ] as const),
  )('a private cluster %s: they share a model, and a removal reaches both', async (_, isNewer) => {
    const program = (name: string): string => ((name === 'founder') === isNewer ? BIN : older)
    const run = async (name: string, ...args: readonly string[]): Promise<Record<string, unknown>> => {
      const command = [process.execPath, program(name)]
      return json((await weft([...args, '--home', lab.home(name), '--json'], { command })).stdout)
    }
    // the older one does not know the entry by which certificates are asked for
    const off = isNewer ? ['--certificates', 'off'] : []
    const created = await run('founder', 'cluster', 'create', 'northwind', '--name', 'founder', '--site', 'hq', ...off)
    expect(created).toMatchObject({ schema: 'weft.cluster-created/1' })
    const founder = await lab.startProgram('founder', program('founder'))
    for (const name of ['joiner', 'third']) {
      const { token } = await run('founder', 'invite', 'create')
      expect(await run(name, 'join', token as string, '--name', name)).toMatchObject({ schema: 'weft.joined/1' })
    }
    const [joiner, third] = [
      await lab.startProgram('joiner', program('joiner')),
      await lab.startProgram('third', program('third')),
    ]
    await joined([founder, joiner, third])
    await shared(founder, joiner)
    await understood(founder, joiner, third)
    await founder.access.cluster({ do: 'revoke', peer: third.id, reason: 'the contract ended' })
    await expect
      .poll(async () => (await joiner.access.status()).cluster?.members, { timeout: 30_000, interval: 100 })
      .toBe(2)
    await shared(founder, joiner)
  })

  it.skipIf(why !== undefined)(
    'a cluster that asks for certificates refuses an older one by a code that names versions, and lets it in once it is up to date',
    async () => {
      const at = async (program: string, name: string, ...args: readonly string[]): Promise<Outcome> =>
        weft([...args, '--home', lab.home(name)], { command: [process.execPath, program] })
      expect(await at(BIN, 'founder', 'cluster', 'create', 'northwind')).toMatchObject({ status: 0 })
      await lab.start('founder')
      const { token } = json((await at(BIN, 'founder', 'invite', 'create', '--json')).stdout) as { token: string }
      const refused = await at(older, 'joiner', 'join', token)
      expect(refused.status).not.toBe(0)
      expect(refused.stderr).toMatch(/WEFT-TRU-101[^]*weft version/)
      expect((await at(older, 'joiner', 'cluster', 'show')).stderr).toContain('WEFT-TRU-170')
      expect(await at(BIN, 'joiner', 'join', token)).toMatchObject({ status: 0 })
    },
  )
})
