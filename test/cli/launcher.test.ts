/** bin/weft on the Node that is there: new enough, too old with npm's beside it, too old with none. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { BIN, emptyHome, json, weft } from './support.ts'

const ROOT = dirname(dirname(BIN))
const OLD = oldNode()
const INSTALLED = join(ROOT, 'node_modules', 'node', 'bin', 'node')

/** A Node of this machine that cannot run weft itself. */
function oldNode(): string | undefined {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node', '/opt/node20/bin/node']) {
    if (!existsSync(path)) continue
    const [major = 0, minor = 0] = execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' })
      .split('.')
      .map(Number)
    if (major < 22 || (major === 22 && minor < 18)) return path
  }
  return undefined
}

describe('the launcher', () => {
  test('runs through a symbolic link from another folder', async () => {
    await using it = await emptyHome()
    const link = join(it.home, 'weft')
    symlinkSync(BIN, link)
    const { status, stdout, stderr } = await weft(['version', '--json'], { command: [process.execPath, link] })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(json(stdout)).toMatchObject({ schema: 'weft.version/1' })
  })

  test('says which file is missing where a copy is not complete', async () => {
    await using it = await emptyHome()
    cpSync(join(ROOT, 'bin'), join(it.home, 'bin'), { recursive: true })
    const { status, stdout, stderr } = await weft(['version'], {
      command: [process.execPath, join(it.home, 'bin', 'weft')],
    })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/not complete: .*main\.js is missing/)
  })

  test('runs the build, not the sources, under node_modules', async () => {
    await using it = await emptyHome()
    const root = join(it.home, 'node_modules', 'weft-mesh')
    cpSync(join(ROOT, 'bin'), join(root, 'bin'), { recursive: true })
    mkdirSync(join(root, 'src', 'cli'), { recursive: true })
    writeFileSync(join(root, 'src', 'cli', 'main.ts'), 'throw new Error("sources")')
    mkdirSync(join(root, 'dist', 'cli'), { recursive: true })
    writeFileSync(join(root, 'package.json'), '{"type":"module"}')
    writeFileSync(join(root, 'dist', 'cli', 'main.js'), 'export const runProcess = () => console.log("built")')
    const { stdout, stderr } = await weft([], { command: [process.execPath, join(root, 'bin', 'weft')] })
    expect({ stdout, stderr }).toEqual({ stdout: 'built\n', stderr: '' })
  })
})

describe.skipIf(!existsSync(INSTALLED))('bin/weft by itself', () => {
  /** A PATH with a Node on it that must not be asked. */
  function withOther(home: string): Readonly<Record<string, string>> {
    writeFileSync(join(home, 'node'), '#!/bin/sh\necho asked >&2\nexit 9\n', { mode: 0o755 })
    return { PATH: `${home}:/usr/bin:/bin` }
  }

  test.each([false, true])(
    'is one process with the node that npm installed, also through a link: %s',
    async (isLink) => {
      await using it = await emptyHome()
      const link = join(it.home, 'weft')
      symlinkSync(BIN, link)
      let started: number | undefined
      const home = join(it.home, 'home')
      const outcome = await weft(['wait', '--home', home], {
        command: [isLink ? link : BIN],
        env: withOther(it.home),
        started: (child) => {
          started = child.pid
          child.stderr?.once('data', () => {
            expect(readFileSync(`/proc/${started}/cmdline`, 'utf8')).toContain('node_modules/node/bin/node')
            child.kill('SIGKILL')
          })
        },
      })
      expect(outcome).toMatchObject({ status: null, signal: 'SIGKILL' })
      expect(outcome.stderr).not.toContain('asked')
    },
  )

  test('hands arguments on as they are', async () => {
    await using it = await emptyHome()
    const { status, stderr } = await weft(['run', "it's $HOME", 'a  b'], { command: [BIN], env: withOther(it.home) })
    expect(status).not.toBe(0)
    expect(stderr).toContain("it's $HOME")
  })

  test('takes the node of the PATH where there is no other', async () => {
    await using it = await emptyHome()
    cpSync(join(ROOT, 'bin'), join(it.home, 'bin'), { recursive: true })
    const { status, stderr } = await weft([], { command: [join(it.home, 'bin', 'weft')], env: withOther(it.home) })
    expect({ status, stderr }).toEqual({ status: 9, stderr: 'asked\n' })
  })
})

describe('what Node keeps compiled', () => {
  /** Relative to the folder. */
  const filesOf = (folder: string): string[] => {
    if (!existsSync(folder)) return []
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
  }
  /** All tests keep it where their runner says: not these. */
  const version = (env: Readonly<Record<string, string>>) =>
    weft(['version', '--json'], { env: { NODE_COMPILE_CACHE: '', ...env } })
  const fine = { status: 0, stderr: '' }

  test("lies in the user's cache, for its owner alone, and serves the next start", async () => {
    await using it = await emptyHome()
    const folder = join(it.home, 'weft', 'compiled')
    const first = await version({ XDG_CACHE_HOME: it.home })
    expect(first).toMatchObject(fine)
    expect(filesOf(folder).length).toBeGreaterThan(5)
    for (const path of [dirname(folder), folder]) expect(statSync(path).mode & 0o777).toBe(0o700)
    const before = filesOf(folder).toSorted()
    const second = await version({ XDG_CACHE_HOME: it.home })
    expect(second).toMatchObject({ ...fine, stdout: first.stdout })
    expect(filesOf(folder).toSorted()).toEqual(before)
  })

  test("yields to Node's own variables", async () => {
    await using it = await emptyHome()
    const other = join(it.home, 'other')
    expect(await version({ XDG_CACHE_HOME: it.home, NODE_COMPILE_CACHE: other })).toMatchObject(fine)
    expect(filesOf(other).length).toBeGreaterThan(5)
    expect(await version({ XDG_CACHE_HOME: it.home, NODE_DISABLE_COMPILE_CACHE: '1' })).toMatchObject(fine)
    expect(filesOf(join(it.home, 'weft'))).toEqual([])
  })

  test('is not used where others may write, where a link stands, or where nothing can be written; weft runs', async () => {
    await using it = await emptyHome()
    for (const open of [join(it.home, 'a', 'weft'), join(it.home, 'b', 'weft', 'compiled')]) {
      mkdirSync(open, { recursive: true, mode: 0o700 })
      chmodSync(open, 0o777)
      expect(await version({ XDG_CACHE_HOME: join(it.home, open.includes('/a/') ? 'a' : 'b') })).toMatchObject(fine)
    }
    expect([...filesOf(join(it.home, 'a')), ...filesOf(join(it.home, 'b'))]).toEqual([])
    mkdirSync(join(it.home, 'elsewhere'), { mode: 0o700 })
    mkdirSync(join(it.home, 'c', 'weft'), { recursive: true, mode: 0o700 })
    symlinkSync(join(it.home, 'elsewhere'), join(it.home, 'c', 'weft', 'compiled'))
    expect(await version({ XDG_CACHE_HOME: join(it.home, 'c') })).toMatchObject(fine)
    expect(filesOf(join(it.home, 'elsewhere'))).toEqual([])
    writeFileSync(join(it.home, 'file'), '')
    expect(await version({ XDG_CACHE_HOME: join(it.home, 'file') })).toMatchObject(fine)
  })
})

describe.skipIf(OLD === undefined || !existsSync(INSTALLED))('on a Node that is too old', () => {
  const old = OLD ?? ''

  test('goes on with the node that npm installed, arguments and standard input included', async () => {
    const version = await weft(['version', '--json'], { command: [old, BIN] })
    expect(version).toMatchObject({ status: 0, stderr: '' })
    expect(json(version.stdout)['node']).toBe(
      execFileSync(INSTALLED, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim(),
    )
    const empty = await weft(['run', 'm', '-'], { command: [old, BIN], input: '\n' })
    expect(empty.stderr).toContain('WEFT-CLI-007')
  })

  test('mirrors the exit status', async () => {
    expect((await weft(['frobnicate'], { command: [old, BIN] })).status).toBe(2)
    expect((await weft(['status'], { command: [old, BIN] })).status).toBe(3)
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('hands %s on and has its status', async (signal, expected) => {
    await using it = await emptyHome()
    const outcome = await weft(['wait', '--home', it.home], {
      command: [old, BIN],
      started: (child) => child.stderr?.once('data', () => child.kill(signal)),
    })
    expect(outcome).toMatchObject({ status: expected, signal: null, stdout: '' })
  })

  test('is gone when whoever started it is killed', async () => {
    await using it = await emptyHome()
    let under = ''
    const outcome = await weft(['wait', '--home', it.home], {
      command: [old, BIN],
      started: (child) =>
        child.stderr?.once('data', () => {
          under = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
          child.kill('SIGKILL')
        }),
    })
    // Its output is closed when both are gone: `weft` waits for that.
    expect(outcome).toMatchObject({ status: null, signal: 'SIGKILL' })
    expect(under).toMatch(/^\d+$/)
    // What it had open is closed before it has ended, and then nobody may be there yet who takes note of that.
    const status = `/proc/${under}/status`
    const ended = (): boolean => !existsSync(status) || readFileSync(status, 'utf8').includes('State:\tZ')
    await vi.waitFor(() => expect(ended()).toBe(true), 10_000)
  })

  test('without one it says in one line which version is needed and how to get it', async () => {
    await using it = await emptyHome()
    cpSync(join(ROOT, 'bin'), join(it.home, 'bin'), { recursive: true })
    const { status, stdout, stderr } = await weft(['version'], { command: [old, join(it.home, 'bin', 'weft')] })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^error: weft needs Node\.js 22\.18 or later, and this is [\d.]+\. Get it from .*\n$/)
  })

  test('finds the node that npm has hoisted above the package', async () => {
    await using it = await emptyHome()
    const root = join(it.home, 'node_modules', 'weft-mesh')
    cpSync(join(ROOT, 'bin'), join(root, 'bin'), { recursive: true })
    mkdirSync(join(root, 'dist', 'cli'), { recursive: true })
    writeFileSync(join(root, 'package.json'), '{"type":"module"}')
    writeFileSync(join(root, 'dist', 'cli', 'main.js'), 'export const runProcess = () => console.log("built")')
    symlinkSync(join(ROOT, 'node_modules', 'node'), join(it.home, 'node_modules', 'node'))
    const { stdout } = await weft([], { command: [old, join(root, 'bin', 'weft')] })
    expect(stdout).toBe('built\n')
  })
})
