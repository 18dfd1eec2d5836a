/** What must hold for every kind of state: a power cut at each change, a bit that turns, a disk that becomes full at each change. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isWhole } from '../whole.ts'
import type { Squeezed, Told } from './child.ts'
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
  /** What the home held before. */
  readonly before: string
  readonly disk: DiskModel
  /** As it was left. */
  readonly home: string
}

/** Where a sync costs nothing, if there is such a place. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

class Bench {
  readonly folder = mkdtempSync(join(PLACE, 'weft-durability-'))
  readonly #library = join(this.folder, 'disk.so')

  constructor() {
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', this.#library, SOURCE, '-ldl', '-lpthread'])
  }

  async #child(mode: string, kind: Kind, root: string, base: string, journal: string | undefined): Promise<string> {
    const control = join(this.folder, `control-${mode}`)
    writeFileSync(control, new Uint8Array(16))
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD, mode, kind.name, root, base], {
      maxBuffer: 256 << 20,
      env: {
        PATH: process.env['PATH'],
        NODE_NO_WARNINGS: '1',
        UV_USE_IO_URING: '0',
        LD_PRELOAD: this.#library,
        WEFT_DISK_ROOT: root,
        WEFT_DISK_CONTROL: control,
        ...(journal === undefined ? {} : { WEFT_DISK_JOURNAL: journal }),
      },
    })
    return stdout
  }

  async #prepared(kind: Kind, name: string): Promise<string> {
    const home = join(this.folder, name)
    mkdirSync(home, { mode: 0o700 })
    await kind.prepare?.(home)
    return home
  }

  async record(kind: Kind): Promise<Recording> {
    const [home, journal] = [await this.#prepared(kind, 'home'), join(this.folder, 'journal')]
    const disk = new DiskModel(home)
    const before = await found(kind, copyOf(home))
    const told = JSON.parse(await this.#child('record', kind, home, '', journal)) as Told[]
    return { changes: readJournal(readFileSync(journal)), told, before, disk, home }
  }

  async squeeze(kind: Kind): Promise<Squeezed[]> {
    const root = join(this.folder, 'full')
    mkdirSync(root)
    return JSON.parse(
      await this.#child('full', kind, root, await this.#prepared(kind, 'base'), undefined),
    ) as Squeezed[]
  }
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

export function durabilitySuite(kind: Kind): void {
  describe.skipIf(!canWatch)(`${kind.name} (skipped where no C compiler is: its writes cannot be watched)`, () => {
    let bench: Bench
    beforeAll(() => {
      bench = new Bench()
    })
    afterAll(() => rmSync(bench.folder, { recursive: true, force: true }))
    let recording: Recording

    test('a power cut at any change leaves what was acknowledged, or what was under way', async () => {
      recording = await bench.record(kind)
      const { told, changes } = recording
      expect(told.length).toBeGreaterThan(1)
      expect(changes.filter(({ kind: change }) => change === 'sync').length).toBeGreaterThan(0)
      const wrong: object[] = []
      const folder = join(bench.folder, 'crashed')
      for (const { image, at, allowed } of crashes(recording)) {
        materialise(image, folder)
        const got = await found(kind, folder)
        if (!allowed.includes(got) && kind.afterCrash?.test(got) !== true) wrong.push({ at, got, allowed })
      }
      expect(wrong.slice(0, SHOWN)).toEqual([])
    })

    test('a bit that turned on the disk is named, or changes nothing', async () => {
      const image = imageOf(recording.home)
      const whole = await found(kind, copyOf(recording.home))
      expect(whole).toBe(recording.told.at(-1)!.state)
      const folder = join(bench.folder, 'turned')
      const wrong: object[] = []
      let named = 0
      for (const { path, at, image: turned } of flips(image, kind.unchecked ?? (() => false))) {
        materialise(turned, folder)
        const got = await found(kind, folder)
        if (got.startsWith('refused WEFT-')) named++
        else if (got !== whole) wrong.push({ path, at, got, whole })
      }
      expect(wrong.slice(0, SHOWN)).toEqual([])
      expect(named).toBeGreaterThan(0)
    })

    test('a disk that becomes full at any change: refused by code, the old state stays, it goes on when there is room', async () => {
      const all = await bench.squeeze(kind)
      const { told } = recording
      expect(all.filter(({ refused }) => refused !== null).length).toBeGreaterThan(told.length - 2)
      const wrong = all.filter(({ step, refused, during, again, after, reopened }) => {
        const index = told.findIndex((one) => one.after === step)
        const [old, next] = [told[index - 1]!.state, told[index]!.state]
        if (refused !== null && !refused.code.startsWith('WEFT-')) return true
        if (refused === null && during !== next) return true
        // the last sync of a write may fail when all else was done: doing it again is then refused as done
        if (again !== null && !again.code.startsWith('WEFT-')) return true
        // what only SQLite has may be out of reach while it cannot undo what it had begun
        const isThere = [old, next].includes(during) || during.startsWith('refused WEFT-')
        return !isThere || after !== next || reopened !== next
      })
      expect(wrong.slice(0, SHOWN)).toEqual([])
    })
  })
}
