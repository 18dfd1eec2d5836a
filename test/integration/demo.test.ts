import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isWhole, sampled } from '../whole.ts'
import { alive, until } from './support.ts'

const DEMO = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url))

const PROMPT = 'The sea was'
const LONG_OF_TWO = ['--model', 'weft-tiny', '--max-tokens', '200', '--peers', '2']

const LINUX = existsSync('/proc/self/cmdline')

/** Those that have the folder in their command line, also before they have written their pid; known on Linux only. */
function processesOf(folder: string): number[] {
  if (!LINUX) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder)
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Nobody listens there: whoever dials is refused at once. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Hubs and package clients find nothing but a port that is closed, and do not try twice. */
function offline(port: number): Record<string, string> {
  const nowhere = `http://127.0.0.1:${port}`
  return {
    HF_ENDPOINT: nowhere,
    npm_config_registry: nowhere,
    npm_config_fetch_retries: '0',
    PIP_CONFIG_FILE: devNull,
    PIP_INDEX_URL: `${nowhere}/simple`,
    PIP_EXTRA_INDEX_URL: '',
    PIP_FIND_LINKS: '',
    PIP_RETRIES: '0',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    ALL_PROXY: nowhere,
    NO_PROXY: '127.0.0.1',
  }
}

describe('npm start', () => {
  let root: string
  /** Of the first run. */
  let earlier = ''

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-demo-'))
  })

  afterAll(() => rm(root, { recursive: true, force: true }))

  function demo(
    args: readonly string[],
    onOutput: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
    env: Readonly<Record<string, string>> = {},
  ) {
    return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', DEMO, ...args], {
        env: { ...process.env, WEFT_HOME: root, NO_COLOR: '1', ...env },
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

  it('without a network it says so, and three peers that divide the embedded model answer, are told of and end', async () => {
    const port = await closedPort()
    const { status, stdout } = await demo(['--max-tokens', '12', '--prompt', PROMPT], undefined, offline(port))
    earlier = stdout
    expect(status).toBe(0)
    expect(stdout).toContain('looking for smollm2:135m, at most 60 s')
    expect(stdout).toMatch(/smollm2:135m is not to be had now \(.+\): the embedded model answers/)
    expect(stdout).toMatch(/model weft-tiny: .* blocks, from bundled:/)
    expect(stdout).toContain('3 peers started')
    expect(stdout).toContain('they found each other')
    expect(stdout).toMatch(/PEER +BLOCKS OF 8 +MEMORY +PROCESS/)
    expect(stdout).toMatch(/route {2}\S+\[0:\d\] -> \S+\[\d:\d\] -> \S+\[\d:\d\] -> \S+\[7:8\]/)
    expect(stdout).toMatch(/speed {2}[\d.]+ tokens\/s · first token .+ a hop/)
    expect(stdout).toContain('3 peers stopped')
    expect(await noPeerIsLeft()).toBe(true)
  })

  it.runIf(isWhole)(
    'takes the copy of the earlier run the second time, with the same answer to the same prompt',
    async () => {
      const args = ['--model', 'weft-tiny', '--max-tokens', '12', '--prompt', PROMPT, '--peers', '2']
      const { status, stdout } = await demo(args)
      expect(status).toBe(0)
      expect(stdout).toContain('the copy of an earlier run')
      // The run before had three peers; the table has the two of this one.
      expect(stdout).toMatch(/PEER .*PROCESS\n(?: {2}\S+ +\[.*\d+\n){2} *\n/)
      const text = (out: string): string => out.split(`> ${PROMPT}\n`)[1]?.split('\n\n')[0] ?? 'none'
      expect(text(stdout)).toBe(text(earlier))
      expect(text(stdout)).not.toBe('none')
    },
  )

  it('is ended by Ctrl-C at any moment, and leaves nothing', async () => {
    for (const moment of sampled(['they found each other', 'weft: ', 'peers started'], 1)) {
      let sent = false
      const { status } = await demo(LONG_OF_TWO, (text, kill) => {
        if (sent || !text.includes(moment)) return
        sent = true
        kill('SIGINT')
      })
      expect(status).toBe(130)
      expect(await noPeerIsLeft()).toBe(true)
    }
  })

  it.runIf(isWhole)(
    'killed at any moment, it leaves no peer and no stage host behind: they see that it is gone',
    async () => {
      for (const moment of sampled(['\n> ', 'weft: '], 1)) {
        let [sent, started] = [false, 0]
        const { status, stdout } = await demo(LONG_OF_TWO, (text, kill) => {
          if (sent || !text.includes(moment)) return
          sent = true
          started = processesOf(root).length
          kill('SIGKILL')
        })
        expect([status, sent]).toEqual([null, true])
        const hosts = [...stdout.matchAll(/^ {2}\S+ +\[.*\) +\S+ \S+ +(\d+)$/gm)].map((match) => Number(match[1]))
        if (moment === '\n> ') expect([started, hosts.length]).toEqual([LINUX ? 2 : 0, 2])
        await until('the peers end by themselves', async () => processesOf(root).length === 0 && (await noPeerIsLeft()))
        await until('their stage hosts as well', () => !hosts.some(alive))
      }
    },
    120_000,
  )

  it('says what it takes, and starts nothing', async () => {
    const { status, stdout, stderr } = await demo(['--peers', '2', '--help'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/^usage: npm start -- .*--peers N/)
  }, 120_000)

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
