/** Backups: the same home again, nothing readable in the folder, and refusals that change nothing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createBackup,
  listBackups,
  NO_PART,
  openVault,
  RESTORING,
  restoreBackup,
  verifyBackup,
} from '../../src/store/index.ts'
import type { BackupSummary, Vault } from '../../src/store/index.ts'
import { isWhole } from '../whole.ts'

const WRITER = fileURLToPath(new URL('support/database-writer.ts', import.meta.url))
const SECRET = 'correct horse battery staple'
const CHEAP = 1 << 10
const CANARY = 'canary-of-a-private-key'

let folder: string
let home: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-backup-'))
  home = join(folder, 'home')
  await fill(home)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function fill(at: string): Promise<void> {
  const files: Record<string, string | Buffer> = {
    'keys/identity.key': CANARY,
    'keys/ledger.anchor': '{"seq":3,"hash":"x","signature":"y"}',
    'policy.json': '{"rules":[]}',
    'state/quarantine.json': '{}',
    'state/large.bin': Buffer.alloc(300_000, 'abcdefg'),
    'state/empty.json': '',
    'state/journal/prompt.json': 'what somebody asked',
    'partitions/tiny.json': '{"model":"tiny"}',
    'peers/peers.json': '[]',
    'store/blobs/x': 'a model',
    'logs/weft.log': 'lines',
    'weft.pid': '1 -',
  }
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(at, path, '..'), { recursive: true, mode: 0o700 })
    await writeFile(join(at, path), content, { mode: 0o600 })
  }
  const database = new DatabaseSync(join(at, 'state', 'ledger.db'))
  database.exec("CREATE TABLE entries (seq INTEGER PRIMARY KEY, body TEXT); INSERT INTO entries VALUES (1, 'one')")
  database.close()
}

const vaultAt = (directory = join(folder, 'to'), secret = SECRET, create = true): Promise<Vault> =>
  openVault(directory, secret, { create, cost: CHEAP })
const make = (vault: Vault, peer = 'peer', wall = 1e12): Promise<BackupSummary> =>
  createBackup(vault, { home, peer, wall, version: '0' })
const codeOf = async (action: () => Promise<unknown>): Promise<string> =>
  action().then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )

async function filesOf(at: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(at, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found[path.slice(at.length + 1)] = (await readFile(path)).toString('hex')
  }
  return found
}

describe('a backup', () => {
  test('puts the same home back on an empty machine, for its owner alone; models, logs and prompts are not in it', async () => {
    const made = await make(await vaultAt())
    expect(made).toMatchObject({ peer: 'peer', at: '2001-09-09T01:46:40.000Z', files: 9 })
    const other = join(folder, 'other')
    const found = await restoreBackup(await vaultAt(), { home: other, own: undefined })
    expect(found).toEqual(made)
    const [before, after] = [await filesOf(home), await filesOf(other)]
    for (const path of ['store/blobs/x', 'logs/weft.log', 'weft.pid', 'state/journal/prompt.json']) {
      expect(after[path]).toBeUndefined()
      delete before[path]
    }
    expect(after).toEqual(before)
    expect((await stat(join(other, 'keys', 'identity.key'))).mode & 0o777).toBe(0o600)
    // And again, over itself: the same state.
    await restoreBackup(await vaultAt(), { home: other, own: 'peer' })
    expect(await filesOf(other)).toEqual(after)
  })

  test('has nothing readable in it, names of files included', async () => {
    await make(await vaultAt())
    const all = await filesOf(join(folder, 'to'))
    for (const [path, content] of Object.entries(all)) {
      for (const word of [CANARY, 'identity', 'quarantine', 'abcdefg']) {
        expect(path).not.toContain(word)
        expect(content).not.toContain(Buffer.from(word).toString('hex'))
      }
    }
  })

  test('keeps a piece once: the second writes little more than its list', async () => {
    const vault = await vaultAt()
    await make(vault)
    const first = Object.keys(await filesOf(join(folder, 'to'))).length
    await writeFile(join(home, 'policy.json'), '{"rules":[1]}')
    await make(vault, 'peer', 1e12 + 1)
    expect(Object.keys(await filesOf(join(folder, 'to'))).length).toBe(first + 2)
    expect((await listBackups(vault)).map(({ snapshot }) => snapshot)).toEqual([
      '2001-09-09T01-46-40-000Z',
      '2001-09-09T01-46-40-001Z',
    ])
    // A clock that was set back does not put the newest before the older ones.
    const third = await make(vault, 'peer', 1e11)
    expect((await listBackups(vault)).at(-1)?.snapshot).toBe(third.snapshot)
    const other = join(folder, 'older')
    await restoreBackup(vault, { home: other, own: undefined, snapshot: '2001-09-09T01-46-40-000Z' })
    expect(await readFile(join(other, 'policy.json'), 'utf8')).toBe('{"rules":[]}')
  })

  test('has adapters, and what a cluster that was left has put aside', async () => {
    const paths = ['adapters/tiny/mine/adapter_model.safetensors', 'cluster-left-17/cluster-root.key']
    for (const path of paths) {
      await mkdir(join(home, path, '..'), { recursive: true })
      await writeFile(join(home, path), path)
    }
    expect((await make(await vaultAt())).omitted).toEqual([])
    const other = join(folder, 'other')
    await restoreBackup(await vaultAt(), { home: other, own: undefined })
    for (const path of paths) expect(await readFile(join(other, path), 'utf8')).toBe(path)
  })

  test('names whatever of the home it has not, when it is made, looked through and put back', async () => {
    await symlink(folder, join(home, 'partitions', 'elsewhere'))
    await writeFile(join(home, 'state', 'odd\\name'), 'x')
    await writeFile(join(home, 'notes.txt'), 'x')
    const pipe = spawn('mkfifo', [join(home, 'state', 'pipe')])
    await once(pipe, 'exit')
    const omitted = [
      { path: 'state/odd\\name', why: expect.stringContaining('backslash') as string },
      { path: 'state/pipe', why: 'no plain file' },
      { path: 'partitions/elsewhere', why: 'a link' },
      { path: 'notes.txt', why: NO_PART },
    ]
    const made = await make(await vaultAt())
    expect(made.files).toBe(9)
    expect(new Set(made.omitted)).toEqual(new Set(omitted))
    expect((await verifyBackup(await vaultAt())).omitted).toEqual(made.omitted)
    const init = { home: join(folder, 'other'), own: undefined }
    expect((await restoreBackup(await vaultAt(), init)).omitted).toEqual(made.omitted)
  })

  test.runIf(isWhole)(
    'has files beyond a gigabyte, piece by piece',
    async () => {
      await truncate(join(home, 'state', 'large.bin'), (1 << 30) + 5)
      const made = await make(await vaultAt())
      expect(made).toMatchObject({ files: 9, omitted: [] })
      const other = join(folder, 'other')
      await restoreBackup(await vaultAt(), { home: other, own: undefined })
      expect((await stat(join(other, 'state', 'large.bin'))).size).toBe((1 << 30) + 5)
    },
    300_000,
  )

  test('waits for a writer that has changed the file and may still take it back, whatever the file is called', async () => {
    await mkdir(join(home, 'cluster'), { mode: 0o700 })
    const path = join(home, 'cluster', 'membership.sqlite')
    const child = spawn(process.execPath, [WRITER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    await once(child.stdout, 'data')
    await make(await vaultAt())
    await ended
    const other = join(folder, 'other')
    await restoreBackup(await vaultAt(), { home: other, own: undefined })
    const database = new DatabaseSync(join(other, 'cluster', 'membership.sqlite'))
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    expect(database.prepare('SELECT count(*) AS n FROM entries').get()).toEqual({ n: 5_000 })
    database.close()
  })

  test('killed in the middle leaves the one before usable, and the next goes on (R14)', async () => {
    await make(await vaultAt())
    const before = await filesOf(join(folder, 'to'))
    for (let index = 0; index < 6; index++)
      await writeFile(join(home, 'state', `more-${index}`), Buffer.alloc(200_000, index))
    for (const most of [1, 5, 9]) {
      const host = join(import.meta.dirname, 'support/backup-host.ts')
      const args = ['--disable-warning=ExperimentalWarning', host, home, join(folder, 'to'), SECRET]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      await new Promise<void>((resolve) => {
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          said += text
          if (said.split('\n').length > most) child.kill('SIGKILL')
        })
        child.on('close', () => resolve())
      })
      expect(said).not.toContain('done')
      const vault = await vaultAt()
      expect(await listBackups(vault)).toHaveLength(1)
      expect(await codeOf(() => verifyBackup(vault))).toBe('done')
    }
    const now = await filesOf(join(folder, 'to'))
    for (const [path, content] of Object.entries(before)) expect(now[path]).toBe(content)
    await make(await vaultAt(), 'peer', 2e12)
    expect((await verifyBackup(await vaultAt())).files).toBe(15)
  })
})

describe('refused, and nothing changed:', () => {
  async function restored(own?: string): Promise<string> {
    const before = await filesOf(home)
    const code = await codeOf(async () => restoreBackup(await vaultAt(), { home, own: own ?? 'peer' }))
    if (code !== 'done') expect(await filesOf(home)).toEqual(before)
    return code
  }

  test('a wrong passphrase, again and again', async () => {
    await make(await vaultAt())
    const before = await filesOf(join(folder, 'to'))
    for (let time = 0; time < 3; time++)
      expect(await codeOf(() => vaultAt(undefined, 'wrong horse'))).toBe('WEFT-STO-042')
    expect(await filesOf(join(folder, 'to'))).toEqual(before)
  })

  test('a folder that is none', async () => {
    expect(await codeOf(() => vaultAt(join(folder, 'nothing'), SECRET, false))).toBe('WEFT-STO-040')
    expect(existsSync(join(folder, 'nothing'))).toBe(false)
    expect(await codeOf(async () => verifyBackup(await vaultAt()))).toBe('WEFT-STO-040')
  })

  test('a backup of another identity, either way', async () => {
    await make(await vaultAt())
    expect(await restored('somebody')).toBe('WEFT-STO-043')
    expect(await codeOf(async () => make(await vaultAt(), 'somebody'))).toBe('WEFT-STO-043')
  })

  test('one that would take a ledger back', async () => {
    await make(await vaultAt())
    await writeFile(join(home, 'keys', 'ledger.anchor'), '{"seq":4,"hash":"z","signature":"y"}')
    expect(await restored()).toBe('WEFT-STO-044')
    await writeFile(join(home, 'keys', 'ledger.anchor'), '{"seq":3,"hash":"x","signature":"y"}')
    expect(await restored()).toBe('done')
  })

  test('a piece or a list that is gone, cut off or changed, wherever', async () => {
    await make(await vaultAt())
    const all = Object.keys(await filesOf(join(folder, 'to'))).filter((path) => path !== 'weft-backup.json')
    expect(all.length).toBeGreaterThan(8)
    for (const path of all) {
      const full = join(folder, 'to', path)
      const content = await readFile(full)
      const changed = Buffer.from(content)
      changed[changed.length >> 1]! ^= 1
      await writeFile(full, changed)
      expect(await restored(), path).toBe('WEFT-STO-041')
      await truncate(full, 20)
      expect(await restored(), path).toBe('WEFT-STO-041')
      await writeFile(full, content)
    }
    await rm(
      join(
        folder,
        'to',
        all.find((path) => path.startsWith('chunks'))!,
      ),
    )
    expect(await restored()).toBe('WEFT-STO-041')
    await writeFile(join(folder, 'to', 'weft-backup.json'), '{"schema":"weft.backup/1"}')
    expect(await restored()).toBe('WEFT-STO-041')
  })

  test('a home that was restored by half starts with the next restore alone', async () => {
    await make(await vaultAt())
    const other = join(folder, 'other')
    await mkdir(join(other, 'keys'), { recursive: true })
    await writeFile(join(other, RESTORING), '2001-09-09T01-46-40-000Z')
    await writeFile(join(other, 'keys', 'ledger.anchor'), '{"seq":3}')
    const { homePaths, prepareHome } = await import('../../src/peer/home.ts')
    expect(await codeOf(() => prepareHome(homePaths(other, {})))).toBe('WEFT-STO-045')
    await restoreBackup(await vaultAt(), { home: other, own: undefined })
    expect(await codeOf(() => prepareHome(homePaths(other, {})))).toBe('done')
  })

  test('one that would take a ledger back in a home that was restored by half', async () => {
    await make(await vaultAt())
    await writeFile(join(home, 'keys', 'ledger.anchor'), '{"seq":4,"hash":"z","signature":"y"}')
    await make(await vaultAt(), 'peer', 2e12)
    const other = join(folder, 'other')
    await restoreBackup(await vaultAt(), { home: other, own: undefined })
    await writeFile(join(other, RESTORING), 'x')
    const older = { home: other, own: 'peer', snapshot: '2001-09-09T01-46-40-000Z' }
    expect(await codeOf(async () => restoreBackup(await vaultAt(), older))).toBe('WEFT-STO-044')
    await restoreBackup(await vaultAt(), { home: other, own: 'peer' })
    expect(existsSync(join(other, RESTORING))).toBe(false)
  })
})
