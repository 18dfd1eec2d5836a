/** Completion as shells do it: the script is loaded into a real bash, which asks a real process in a home that answers. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../src/cli/commands-table.ts'
import { MODEL } from '../api/fake-peer.ts'
import { BIN, call, runningHome } from './support.ts'
import type { TestHome } from './support.ts'

const run = promisify(execFile)
let it: TestHome
let script: string
beforeAll(async () => {
  it = await runningHome()
  script = (await call(['completion', 'bash'])).stdout
  writeFileSync(join(it.home, 'weft.bash'), script)
})
afterAll(() => it[Symbol.asyncDispose]())

/** What bash offers for words as readline has cut them. */
async function offered(...words: string[]): Promise<string[]> {
  const probe = `
source "$SCRIPT"
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_weft
((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`
  const env = { ...process.env, WEFT_HOME: it.home, SCRIPT: join(it.home, 'weft.bash') }
  const { stdout } = await run('bash', ['-c', probe, 'bash', BIN, ...words], { env, encoding: 'utf8' })
  return stdout.split('\n').filter((line) => line !== '')
}

/** The same where the home is asked: it has 150 ms to answer, and a busy machine may need several goes. */
async function answered(...words: string[]): Promise<string[]> {
  for (let go = 1; ; go++) {
    const found = await offered(...words)
    if (found.length > 0 || go === 40) return found
  }
}

describe('the bash script', () => {
  test('parses, and completes verbs, options, values and suites', async () => {
    execFileSync('bash', ['-n'], { input: script })
    expect(await offered('sta')).toEqual(['status'])
    expect(await offered('up', '--mem')).toEqual(['--memory'])
    expect(await offered('up', '--lan', '')).toEqual(['open', 'confirm', 'off'])
    expect(await offered('up', '--lan', '=', 'o')).toEqual(['open', 'off'])
    expect(await offered('peers', 'de')).toEqual(['deny'])
    expect(await offered('vectors', 'sec')).toEqual(['secagg'])
    expect(await offered('help', 'errors', 'WEFT-MOD-05')).toContain('WEFT-MOD-050')
  })

  test('knows each verb of its own: values, and which argument is due', async () => {
    expect(await offered('plan', 'm', '--objective', 'th')).toEqual(['throughput'])
    expect(await offered('deploy', 'm', '--objective', 'th')).toEqual([])
    expect(await offered('fed', 'start', '')).toEqual([])
    expect(await offered('fed', 'sta')).toEqual(['start', 'status'])
    // The values of options are no arguments.
    expect(await answered('run', '--seed', '7', '--system', 'x', MODEL.slice(0, 2))).toEqual([MODEL])
    expect(await offered('run', MODEL, '-n', '3', '--ra')).toEqual(['--raw'])
    expect(await offered('run', '--system', '')).toEqual([])
  })

  test('asks the home that is named before the verb', async () => {
    expect(await offered('--home', '/nonexistent', 'run', '')).toEqual([])
    expect(await answered('--home', it.home, 'run', '')).toEqual([MODEL])
    expect(await offered('--home', it.home, 'sta')).toEqual(['status'])
    expect(await offered('--home', '')).toEqual([])
  })

  test('a name that comes from others is never run, nor put where the next key would run it', async () => {
    const status = it.peer.status.bind(it.peer)
    const [trap, id] = [join(it.home, 'trap'), '12D3KooWOther']
    const known = status().peers[0]
    const named = (name: string, index: number): object => ({ ...known, id: `${id}${index}`, name })
    const names = [
      `$(touch ${trap})`,
      `\`touch ${trap}\``,
      `x;touch ${trap}`,
      'two words',
      "it's",
      '-rf',
      '雪狐',
      'basil-owl',
    ]
    it.peer.status = () => ({ ...status(), peers: names.map(named) as never })
    try {
      expect(await answered('ping', '')).toEqual([
        ...names.slice(0, 6).map((_, index) => `${id}${index}`),
        '雪狐',
        'basil-owl',
      ])
      expect(await answered('ping', 'basil')).toEqual(['basil-owl'])
      expect(existsSync(trap)).toBe(false)
    } finally {
      it.peer.status = status
    }
  })
})

test.each(['zsh', 'fish'])('the %s script names every verb', async (shell) => {
  const { stdout } = await call(['completion', shell])
  for (const { hidden, verb } of COMMANDS) if (hidden !== true) expect(stdout).toMatch(new RegExp(`\\b${verb}\\b`))
})
