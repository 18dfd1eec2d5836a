/** What must hold for every kind of state: a power cut at each change, a bit that turns, a disk that becomes full at each change. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isWhole } from '../whole.ts'
import type { Squeezed, Told, Tried } from './child.ts'
import { DiskModel, imageHash, imageOf, materialise, readJournal } from './images.ts'
import type { Change, Fate, Image } from './images.ts'
import { found } from './kind.ts'
import type { Kind } from './kind.ts'

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))
const SOURCE = fileURLToPath(new URL('disk.c', import.meta.url))
const FATES: readonly Fate[] = ['lost', 'kept', 'names without bytes', 'bytes without names', { seed: 1 }, { seed: 2 }]
/** Bits that are turned, of all files of a home together. */
const FLIPS = 150

export const canWatch: boolean = process.platform === 'linux' && hasCompiler()

function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

interface Recording {
  readonly changes: readonly Change[]
  readonly told: readonly Told[]
  readonly squeezed: readonly Squeezed[]
  /** What the home held before. */
  readonly before: string
  readonly disk: DiskModel
  /** As it was left. */
  readonly home: string
}

/** Where a sync costs nothing, if there is such a place. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** All kinds of a file, written by one process. */
async function record(folder: string, file: string, kinds: readonly Kind[]): Promise<Recording[]> {
  const [library, control, journal] = ['disk.so', 'control', 'journal'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const root = join(folder, 'kinds')
  const befores: { readonly disk: DiskModel; readonly before: string }[] = []
  for (const [index, kind] of kinds.entries()) {
    const place = join(root, String(index))
    for (const name of ['home', 'base']) {
      mkdirSync(join(place, name), { recursive: true, mode: 0o700 })
      await kind.prepare?.(join(place, name))
    }
    mkdirSync(join(place, 'full'))
    const home = join(place, 'home')
    befores.push({ before: await found(kind, copyOf(home)), disk: new DiskModel(home) })
  }
  execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl', '-lpthread'])
  writeFileSync(control, new Uint8Array(16))
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, file, root], {
    maxBuffer: 256 << 20,
    env: {
      PATH: process.env['PATH'],
      NODE_NO_WARNINGS: '1',
      UV_USE_IO_URING: '0',
      LD_PRELOAD: library,
      WEFT_DISK_ROOT: root,
      WEFT_DISK_CONTROL: control,
      WEFT_DISK_JOURNAL: journal,
      ...(isWhole ? { WEFT_TEST_ALL: '1' } : {}),
    },
  })
  const all = readFileSync(journal)
  return (JSON.parse(stdout) as Tried[]).map(({ told, squeezed, journal: [from, to] }, index) => ({
    told,
    squeezed,
    changes: readJournal(all, from, to),
    home: join(root, String(index), 'home'),
    ...befores[index]!,
  }))
}

/** Reading is a change, too: of locks, and of what was left half-done. */
function copyOf(home: string): string {
  const copy = `${home}-copy`
  rmSync(copy, { recursive: true, force: true })
  cpSync(home, copy, { recursive: true })
  return copy
}

interface Crash {
  readonly image: Image
  readonly at: string
  readonly allowed: readonly string[]
}

/** All that a power cut may leave, once each: after which change, and what was acknowledged or under way then. */
function crashes({ changes, told, before, disk }: Recording): Crash[] {
  const seen = new Set<string>()
  const all: Crash[] = []
  const states = [before, ...told.map(({ state }) => state)]
  for (let count = 0; count <= changes.length; count++) {
    if (count > 0) disk.apply(changes[count - 1]!)
    const end = changes[count - 1]?.end ?? 0
    const done = told.filter(({ journal }) => journal <= end).length
    const allowed = states.slice(done, done + 2)
    for (const fate of FATES) {
      const image = disk.image(fate)
      const key = imageHash(image) + allowed.join()
      if (seen.has(key)) continue
      seen.add(key)
      all.push({ image, allowed, at: `${count} of ${changes.length} changes, ${JSON.stringify(fate)}` })
    }
  }
  return all
}

/** Bits of all files, some way apart; of bytes that are zero, which are the free room of a database, a few. */
function* flips(
  image: Image,
  unchecked: (path: string) => boolean,
): Iterable<{ path: string; at: number; image: Image }> {
  const places: { readonly path: string; readonly at: number }[] = []
  for (const [path, { bytes }] of image)
    if (!path.endsWith('/') && !unchecked(path))
      for (const [at, byte] of bytes.entries()) if (byte !== 0 || at % 512 === 0) places.push({ path, at })
  const step = Math.max(1, places.length / (isWhole ? 20 * FLIPS : FLIPS))
  for (let position = 0, count = 0; position < places.length; position += step, count++) {
    const { path, at } = places[Math.floor(position)]!
    const file = image.get(path)!
    const bytes = Buffer.from(file.bytes)
    bytes[at]! ^= 1 << ((count * 3) % 8)
    yield { path, at, image: new Map(image).set(path, { ...file, bytes }) }
  }
}

/** Of which a few are enough to see what is wrong. */
const SHOWN = 12

/** @param file of `kinds/`, which exports them as `KINDS` */
export function durabilitySuite(file: string, kinds: readonly Kind[]): void {
  describe.skipIf(!canWatch)('what is written (skipped where no C compiler is: it cannot be watched)', () => {
    const folder = mkdtempSync(join(PLACE, 'weft-durability-'))
    let recordings: readonly Recording[]
    beforeAll(async () => {
      recordings = await record(folder, file, kinds)
    }, 120_000)
    afterAll(() => rmSync(folder, { recursive: true, force: true }))
    for (const [index, kind] of kinds.entries()) {
      describe(kind.name, () => {
        test('a power cut at any change leaves what was acknowledged, or what was under way', async () => {
          expect(await afterPowerCuts(kind, recordings[index]!, join(folder, 'crashed'))).toEqual([])
        })
        test.skipIf(kind.isOpaque)('a bit that turned on the disk is named, or changes nothing', async () => {
          const { wrong, named } = await afterFlips(kind, recordings[index]!, join(folder, 'turned'))
          expect(wrong).toEqual([])
          expect(named).toBeGreaterThan(0)
        })
        test('a disk that becomes full at any change: refused by code, the old state stays, it goes on when there is room', () => {
          const { told, squeezed } = recordings[index]!
          expect(squeezed.filter(({ refused }) => refused !== null).length).toBeGreaterThan(0)
          expect(squeezed.filter((one) => !isWellRefused(told, one)).slice(0, SHOWN)).toEqual([])
        })
      })
    }
  })
}

async function afterPowerCuts(kind: Kind, recording: Recording, folder: string): Promise<object[]> {
  const { told, changes } = recording
  expect(told.length).toBeGreaterThan(1)
  expect(changes.filter(({ kind: change }) => change === 'sync').length).toBeGreaterThan(0)
  const wrong: object[] = []
  for (const { image, at, allowed } of crashes(recording)) {
    materialise(image, folder)
    const got = await found(kind, folder)
    if (!allowed.includes(got) && got !== `refused ${kind.afterCrash}`) wrong.push({ at, got, allowed })
  }
  return wrong.slice(0, SHOWN)
}

async function afterFlips(
  kind: Kind,
  { home, told }: Recording,
  folder: string,
): Promise<{ wrong: object[]; named: number }> {
  const whole = await found(kind, copyOf(home))
  expect(whole).toBe(told.at(-1)!.state)
  const empty = told[0]!.state
  const wrong: object[] = []
  let named = 0
  for (const { path, at, image } of flips(imageOf(home), kind.unchecked ?? (() => false))) {
    materialise(image, folder)
    const got = await found(kind, folder)
    if (got.startsWith('refused WEFT-')) named++
    else if (kind.isText === true ? got === empty : got !== whole) wrong.push({ path, at, got, whole })
  }
  return { wrong: wrong.slice(0, SHOWN), named }
}

function isWellRefused(told: readonly Told[], { step, refused, during, again, after, reopened }: Squeezed): boolean {
  const index = told.findIndex((one) => one.after === step)
  const [old, next] = [told[index - 1]!.state, told[index]!.state]
  if (refused !== null && !refused.code.startsWith('WEFT-')) return false
  if (refused === null && during !== next) return false
  // the last sync of a write may fail when all else was done: doing it again is then refused as done
  if (again !== null && !again.code.startsWith('WEFT-')) return false
  // what only SQLite has may be out of reach while it cannot undo what it had begun
  const isThere = [old, next].includes(during) || during.startsWith('refused WEFT-')
  return isThere && after === next && reopened === next
}
