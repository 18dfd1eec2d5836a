/**
 * `weft import FILE.gguf` by real processes on a disk that has no room for it: a line with its code, nothing half-written, and the
 * same command again when there is room. Bytes run out under a peer that runs, files under a command that works alone.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { isLong } from '../whole.ts'
import { createLab, greedy, answer, TINY } from './support.ts'
import type { Lab } from './support.ts'

// What is compiled lies on the disk that becomes full, as it does for users.
delete process.env['NODE_COMPILE_CACHE']

const base = mkdtempSync(join(tmpdir(), 'weft-full-'))
const mounted: string[] = []

function mount(path: string, options: string): void {
  mkdirSync(path, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' })
  mounted.push(path)
}

function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    mount(join(base, 'trial'), 'size=64k')
    return true
  } catch {
    return false
  }
}

const isPossible = canMount()

/** Files below the store and the manifests, with the disk's number of each: one that was written anew has another. */
function kept(home: string): Map<string, number> {
  const found = ['store', 'partitions'].flatMap((folder) =>
    readdirSync(join(home, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name)),
  )
  return new Map(found.map((path) => [path, statSync(path).ino]))
}

const temporary = (home: string): string[] =>
  readdirSync(home, { recursive: true })
    .map(String)
    .filter((name) => /\.tmp|\.new$/.test(name))

/** What people are told: the error, why where something is to be said, and what to do. */
const LINES = /^error: no room for .*WEFT-STO-007\n(?: {2}why: .*\n)? {2}try: .*\n$/

describe.runIf(isLong)('an import on a disk that is full (without root for a small tmpfs: skipped)', () => {
  let lab: Lab

  beforeAll(async () => void (lab = await createLab()))
  afterAll(async () => {
    await lab.stop()
    for (const path of mounted) execFileSync('umount', [path])
    rmSync(base, { recursive: true, force: true })
  })

  it.skipIf(!isPossible)(
    'of bytes, under a peer that runs: it serves on, and takes the model when there is room',
    async () => {
      const home = join(base, 'running')
      mount(home, 'size=24m')
      const peer = await lab.startIn('a', home)
      const ballast = join(home, 'ballast')
      const { bavail, bsize } = statfsSync(home)
      // Room for the first tensors, not for all.
      writeFileSync(ballast, new Uint8Array(bavail * bsize - 1_300_000))
      const before = kept(home)
      const args = ['import', TINY, '--name', 'tiny', '--quiet', '--home', home]
      for (const round of ['first', 'second']) {
        const failed = await weft(args)
        expect([round, failed.status, failed.stdout]).toEqual([round, 6, ''])
        expect(failed.stderr).toMatch(LINES)
        expect(kept(home)).toEqual(before)
        expect(temporary(home)).toEqual([])
      }
      expect(await peer.access.models()).not.toContainEqual(expect.objectContaining({ model: 'tiny', local: true }))
      expect([peer.child.exitCode, peer.child.signalCode]).toEqual([null, null])

      rmSync(ballast)
      const done = await weft([...args, '--json'])
      expect(json(done.stdout)).toMatchObject({ schema: 'weft.model/1', model: 'tiny', blocks: 8 })
      expect((await answer(peer, greedy('tiny', 4))).ids).toHaveLength(4)
    },
    180_000,
  )

  it.skipIf(!isPossible)(
    'of files, by a command alone: what was there before stays, and is not written again',
    async () => {
      const home = join(base, 'alone')
      mount(home, 'size=30m')
      const file = (name: string, layers: number): string => {
        writeFileSync(join(base, `${name}.gguf`), writeGguf(tinyLlama({ layers })))
        return join(base, `${name}.gguf`)
      }
      const importing = (source: string): readonly string[] => ['import', source, '--quiet', '--home', home]
      expect(await weft(importing(file('two', 2)))).toMatchObject({ status: 0 })
      const before = kept(home)
      const { files, ffree } = statfsSync(home)
      execFileSync('mount', ['-o', `remount,nr_inodes=${files - ffree + 30}`, home])
      // It begins with the layers of the first.
      const eight = importing(file('eight', 8))
      const failed = await weft(eight)
      expect([failed.status, failed.stdout]).toEqual([6, ''])
      expect(failed.stderr).toMatch(LINES)
      expect(failed.stderr).toContain('can hold no more of them')
      expect(kept(home)).toEqual(before)
      expect(temporary(home)).toEqual([])

      execFileSync('mount', ['-o', 'remount,nr_inodes=0', home])
      const done = await weft([...eight, '--json'])
      expect(json(done.stdout)).toMatchObject({ schema: 'weft.model/1', model: 'eight', blocks: 10 })
      const after = kept(home)
      expect([...before].filter(([path, number]) => after.get(path) !== number)).toEqual([])
      expect(after.size).toBeGreaterThan(before.size)
    },
    180_000,
  )
})
