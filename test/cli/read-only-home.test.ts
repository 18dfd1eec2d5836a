/**
 * A home that cannot be written, by real processes, also as root (who may write whatever is mounted to be written): a read-only
 * file system that this command alone sees. A line with a code for each command, status 5, nothing of the program's insides.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BIN, json, weft } from './support.ts'
import type { Outcome } from './support.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-read-only-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const EMPTY = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
const AS_IT_IS = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
/** As root plainly, else as root of a namespace of one's own, where that is allowed. */
const alone = process.getuid?.() === 0 ? ['unshare', '-m'] : ['unshare', '-r', '-m']

function readOnly(script: string, folder: string): readonly string[] {
  return [...alone, 'sh', '-c', script, folder]
}

const [file = '', ...rest] = readOnly(EMPTY, base)
const isPossible = process.platform === 'linux' && spawnSync(file, [...rest, 'true']).status === 0
const TINY = join(import.meta.dirname, '..', '..', 'partitions', 'weft-tiny', 'weft-tiny.gguf')
const ALONE = ['--lan', 'off', '--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0']
const COMMANDS: readonly (readonly [what: string, code: string, args: readonly string[]])[] = [
  ['up', 'WEFT-CFG-011', ['up', ...ALONE]],
  ['up --detach', 'WEFT-CLI-024', ['up', '--detach', ...ALONE]],
  ['import', 'WEFT-CFG-011', ['import', TINY, '--name', 'tiny']],
  ['run', 'WEFT-CFG-011', ['run', 'weft-tiny', 'hello', '--max-tokens', '2']],
]

describe.skipIf(!isPossible)('a home that is not writable (skipped: no read-only mount of one process alone)', () => {
  const held = join(base, 'held')
  const bare = join(base, 'bare')

  beforeAll(async () => {
    mkdirSync(bare)
    expect(await weft(['ls', '--local', '--home', held])).toMatchObject({ stderr: '' })
  })

  const on = (script: string, folder: string, args: readonly string[]): Promise<Outcome> =>
    weft(args, { command: [...readOnly(script, folder), process.execPath, BIN] })

  it.each(COMMANDS)('weft %s where there is none yet', async (_what, code, args) => {
    const { status, stdout, stderr } = await on(EMPTY, bare, [...args, '--home', join(bare, 'home')])
    expect({ status, stdout }).toEqual({ status: 5, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^error: .* +${code}\\n {2}why: .*read-only.*\\n {2}try: .*\\n$`))
  })

  it.each(COMMANDS)('weft %s in one that was used before', async (_what, code, args) => {
    const before = readdirSync(held, { recursive: true })
    const { status, stdout, stderr } = await on(AS_IT_IS, held, [...args, '--home', held, '--json'])
    // A slow machine says that it waits.
    const said = stderr.replace(/^waiting for the peer to start .*\n/gm, '')
    expect({ status, stderr: said }).toEqual({ status: 5, stderr: '' })
    const told = json(stdout)
    expect(told).toMatchObject({ schema: 'weft.error/1', error: { code } })
    expect((told['error'] as { why: string }).why).toContain('read-only')
    expect(stdout).not.toMatch(/\.ts:\d|\n +at /)
    expect(readdirSync(held, { recursive: true })).toEqual(before)
  })
})
