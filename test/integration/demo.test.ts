import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { alive } from './support.ts'

const DEMO = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url))

describe('npm start', () => {
  let root: string

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-demo-'))
  })

  afterAll(() => rm(root, { recursive: true, force: true }))

  function demo(
    args: readonly string[],
    onOutput: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
  ) {
    return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', DEMO, ...args], {
        env: { ...process.env, WEFT_HOME: root, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let [stdout, stderr] = ['', '']
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
        onOutput(stdout, (signal) => child.kill(signal))
      })
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
      child.on('close', (status) => resolve({ status, stdout, stderr }))
    })
  }

  async function noPeerIsLeft(): Promise<boolean> {
    const locks = await Promise.all(
      [1, 2, 3].map((index) => readFile(join(root, 'demo', `peer-${index}`, 'weft.pid'), 'utf8').catch(() => '')),
    )
    return locks.every((lock) => lock === '' || !alive(Number(lock.split(' ')[0])))
  }

  it('starts three peers that divide the embedded model, answers, says who did what, and ends them all', async () => {
    const { status, stdout } = await demo(['--model', 'weft-tiny', '--max-tokens', '12'])
    expect(status).toBe(0)
    expect(stdout).toContain('3 peers started')
    expect(stdout).toContain('they found each other')
    expect(stdout).toMatch(/PEER +BLOCKS OF 8 +MEMORY +PROCESS/)
    expect(stdout).toMatch(/route {2}\S+\[0:\d\] -> \S+\[\d:\d\] -> \S+\[\d:\d\] -> \S+\[7:8\]/)
    expect(stdout).toMatch(/speed {2}[\d.]+ tokens\/s · first token .+ a hop/)
    expect(stdout).toContain('3 peers stopped')
    expect(await noPeerIsLeft()).toBe(true)
  })

  it('takes the copy of the earlier run the second time, with the same answer to the same prompt', async () => {
    const args = ['--model', 'weft-tiny', '--max-tokens', '12', '--prompt', 'The sea was', '--peers', '2']
    const [first, second] = [await demo(args), await demo(args)]
    expect(second.status).toBe(0)
    expect(second.stdout).toContain('the copy of an earlier run')
    const text = (out: string): string => /> The sea was\n(.*)\n\n/s.exec(out)?.[1]?.split('\n\n')[0] ?? 'none'
    expect(text(second.stdout)).toBe(text(first.stdout))
    expect(text(second.stdout)).not.toBe('none')
  })

  it('is ended by Ctrl-C at any moment, and leaves nothing', async () => {
    for (const moment of ['weft: ', 'peers started', 'they found each other']) {
      let sent = false
      const { status } = await demo(['--model', 'weft-tiny', '--max-tokens', '200'], (text, kill) => {
        if (sent || !text.includes(moment)) return
        sent = true
        kill('SIGINT')
      })
      expect(status).toBe(130)
      expect(await noPeerIsLeft()).toBe(true)
    }
  })

  it.each([
    [['--peers', '0'], '--peers takes a whole number'],
    [['--models', 'x'], "Unknown option '--models'"],
    [['--max-tokens', 'many'], '--max-tokens takes a whole number'],
  ])('says in one line what is wrong with %j', async (args, words) => {
    const { status, stderr } = await demo(args)
    expect(status).toBe(2)
    expect(stderr).toContain(words)
    expect(stderr).toContain('WEFT-CLI-090')
  })
})
