/** Real peers as processes: ready, refused twice, detached, stopped; and the embedded model through them. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { request } from '../api/support.ts'
import { BIN, emptyHome, json, weft } from './support.ts'
import { isWhole } from '../whole.ts'

const QUIET = ['--lan', 'off', '--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'] as const
const MODEL = 'weft-tiny'

interface UpProcess {
  readonly child: ChildProcess
  readonly ready: Record<string, unknown>
}

/** `weft up --json`, when it has said that it is ready. */
async function up(home: string, args: readonly string[] = QUIET): Promise<UpProcess> {
  const child = spawn(process.execPath, [BIN, 'up', '--json', '--home', home, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { child, ready: json(line) }
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode
  const [status] = (await once(child, 'exit')) as [number | null]
  return status
}

describe('weft up', () => {
  let home: string
  let dispose: () => Promise<void>
  let first: UpProcess
  beforeAll(async () => {
    const made = await emptyHome()
    home = made.home
    dispose = () => Promise.resolve(made[Symbol.asyncDispose]())
    first = await up(home)
  })
  afterAll(async () => {
    first.child.kill('SIGKILL')
    await dispose()
  })

  test('says weft.ready/1 on its first line, and answers at once', async () => {
    expect(Object.keys(first.ready)).toEqual(['schema', 'peer', 'addresses', 'http', 'home', 'pid'])
    expect(first.ready).toMatchObject({ schema: 'weft.ready/1', http: null, home, pid: first.child.pid })
    const status = await weft(['status', '--home', home, '--json'])
    expect(json(status.stdout)).toMatchObject({
      schema: 'weft.status/1',
      peer: { id: first.ready['peer'], pid: first.child.pid },
    })
  })

  test('a second peer of the same home is refused with the process that has it, attached or not', async () => {
    for (const mode of ['--foreground', '--detach']) {
      const { status, stdout } = await weft(['up', '--home', home, '--json', mode, ...QUIET])
      expect(status).toBe(5)
      expect(json(stdout)).toMatchObject({ error: { code: 'WEFT-CFG-010', details: { pid: first.child.pid } } })
    }
  })

  test('show brings in a model of the catalogue as run does, and shows it again', async () => {
    for (const said of ['weft-tiny is not here yet: fetching it', '']) {
      const { status, stdout, stderr } = await weft(['show', MODEL, '--home', home, '--json'])
      expect(status, stderr).toBe(0)
      expect(json(stdout)).toMatchObject({ schema: 'weft.manifest/1', model: MODEL, license: 'Apache-2.0 OR MIT' })
      expect(stderr).toContain(said)
    }
  })

  test('run answers through it, the same each time with temperature 0', async () => {
    const args = [
      'run',
      MODEL,
      'Once upon a time',
      '--raw',
      '--temperature',
      '0',
      '--max-tokens',
      '6',
      '--json',
      '--home',
      home,
    ]
    const one = json((await weft(args)).stdout)
    const two = json((await weft(args)).stdout)
    expect(one).toMatchObject({ schema: 'weft.completion/1', model: MODEL, finish: 'length' })
    expect(one['ids']).toHaveLength(6)
    expect(two['ids']).toEqual(one['ids'])
    expect((one['route'] as { peer: string }[])[0]?.peer).toBe(first.ready['peer'])
  })

  interface Measured {
    readonly peer: { readonly profile: { readonly speed: number; readonly models: readonly { block_ms: unknown }[] } }
    readonly counters: Readonly<Record<string, number>>
  }
  const measured = async (): Promise<Measured> =>
    json((await weft(['status', '--home', home, '--json'])).stdout) as never

  test('what its blocks took is measured beside what was predicted', async () => {
    const model = {
      block_ms: expect.any(Number) as number,
      predicted_block_ms: expect.any(Number) as number,
      error: expect.any(Number) as number,
    }
    await vi.waitFor(async () => expect((await measured()).peer.profile.models).toMatchObject([model]), {
      timeout: 20_000,
      interval: 300,
    })
  }, 30_000)

  test('SIGTERM ends it with status 0, and the home is free again', async () => {
    first.child.kill('SIGTERM')
    expect(await ended(first.child)).toBe(0)
    expect((await weft(['status', '--home', home])).status).toBe(3)
    first = await up(home)
    expect(first.ready).toMatchObject({ schema: 'weft.ready/1' })
    // What was measured before is known, and is not measured again.
    const { peer, counters } = await measured()
    expect(peer.profile.speed).toBeGreaterThan(0)
    expect(peer.profile.models).toMatchObject([{ block_ms: expect.any(Number) as number }])
    expect(counters['measurements']).toBe(0)
  })

  test('down returns when the process has ended', async () => {
    const down = await weft(['down', '--home', home, '--json'])
    expect(down.status).toBe(0)
    expect(json(down.stdout)).toMatchObject({ schema: 'weft.down/1', pid: first.child.pid })
    expect(await ended(first.child)).toBe(0)
    expect((await weft(['down', '--home', home])).status).toBe(3)
  })

  test('--detach returns when it is ready and leaves it running; down stops it', async () => {
    const detached = await weft(['up', '--detach', '--json', '--home', home, ...QUIET])
    expect(detached.status).toBe(0)
    expect(json(detached.stdout)).toMatchObject({ schema: 'weft.ready/1', home })
    expect((await weft(['wait', '--home', home, '--timeout', '5s'])).status).toBe(0)
    expect(existsSync(join(home, 'logs', 'up.log'))).toBe(true)
    expect((await weft(['down', '--home', home])).status).toBe(0)
    expect((await weft(['status', '--home', home])).status).toBe(3)
  })

  test('Ctrl-C ends one that is still starting, whatever its start waits for', async () => {
    // A disk that does not answer any more.
    const program = `
      import files from 'node:fs/promises'
      import { syncBuiltinESMExports } from 'node:module'
      const { readFile } = files
      files.readFile = (path, ...rest) => {
        if (!String(path).endsWith('address-book.json')) return readFile(path, ...rest)
        process.stderr.write('it waits')
        return new Promise(() => {})
      }
      syncBuiltinESMExports()`
    const args = [`--import=data:text/javascript,${encodeURIComponent(program)}`, BIN, 'up', '--home', home, ...QUIET]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let told = ''
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()))
    await vi.waitFor(() => expect(told).toContain('it waits'), { timeout: 60_000 })
    child.kill('SIGINT')
    expect(await ended(child)).toBe(130)
  })

  test('Ctrl-C ends it with status 130, its home in order', async () => {
    const { child } = await up(home)
    child.kill('SIGINT')
    expect(await ended(child)).toBe(130)
    expect((await weft(['status', '--home', home])).status).toBe(3)
  })

  test.runIf(isWhole)(
    '--while-stdin ends it in order when the program at the other end of its standard input is gone',
    async () => {
      const child = spawn(process.execPath, [BIN, 'up', '--json', '--while-stdin', '--home', home, ...QUIET], {
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      await once(createInterface({ input: child.stdout }), 'line')
      expect((await weft(['status', '--home', home])).status).toBe(0)
      child.stdin.end()
      expect(await ended(child)).toBe(0)
      expect((await weft(['status', '--home', home])).status).toBe(3)
      const both = await weft(['up', '--while-stdin', '--detach', '--home', home, ...QUIET])
      expect(both.status).toBe(2)
      // Nothing was ever there: it ends without having started, or right after.
      expect((await weft(['up', '--while-stdin', '--home', home, ...QUIET])).status).toBe(0)
    },
  )

  test('without a peer, run works in its own process', async () => {
    const args = ['run', MODEL, 'Once', '--raw', '--temperature', '0', '--max-tokens', '3', '--home', home]
    const { status, stdout } = await weft(args)
    expect(status).toBe(0)
    expect(stdout).toMatch(/\S.*\n$/)
  })
})

describe('weft up with names and origins for its API', () => {
  const QUIET_NET = ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'] as const

  test('lets those call it that were named, and nobody else', async () => {
    await using it = await emptyHome()
    const names = ['--http-host', 'weft.example', '--http-host', 'mesh.example:8443', '--cors', 'https://chat.example']
    const { child, ready } = await up(it.home, [...QUIET_NET, '--http', '127.0.0.1:0', ...names])
    try {
      const url = new URL(String(ready['http']))
      const status = async (host: string, ...more: string[]): Promise<number> =>
        (await request(Number(url.port), '/healthz', [`Host: ${host}`, ...more])).status
      expect(await status(url.host)).toBe(200)
      expect(await status('weft.example')).toBe(200)
      expect(await status('mesh.example:8443')).toBe(200)
      expect([await status('mesh.example'), await status('other.example')]).toEqual([403, 403])
      const allowed = ['Host: weft.example', 'Origin: https://chat.example']
      const answer = await request(Number(url.port), '/healthz', allowed)
      expect(answer.status).toBe(200)
      expect(answer.head.toLowerCase()).toContain('access-control-allow-origin: https://chat.example')
      expect(await status('weft.example', 'Origin: https://evil.example')).toBe(403)
    } finally {
      child.kill('SIGTERM')
      await ended(child)
    }
  })

  test('says in one line what is wrong with them, before anything is started', async () => {
    await using it = await emptyHome()
    for (const wrong of [
      ['--cors', '*'],
      ['--http-host', 'https://weft.example'],
      ['--http', 'off', '--cors', 'https://chat.example'],
    ]) {
      const { status, stdout } = await weft(['up', '--json', '--home', it.home, ...QUIET_NET, ...wrong])
      expect(status).toBe(2)
      expect(json(stdout)).toMatchObject({ schema: 'weft.error/1' })
      expect(existsSync(join(it.home, 'keys'))).toBe(false)
    }
  })
})

describe('weft up that cannot', () => {
  test('a port that is taken is one coded line, and the process ends', async () => {
    await using it = await emptyHome()
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const { status, stdout } = await weft([
      'up',
      '--json',
      '--home',
      it.home,
      '--lan',
      'off',
      '--http',
      `127.0.0.1:${port}`,
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
    ])
    taken.close()
    expect(status).not.toBe(0)
    expect(json(stdout)).toMatchObject({
      schema: 'weft.error/1',
      error: { code: expect.stringMatching(/^WEFT-/) as unknown },
    })
  })

  test.skipIf(process.getuid?.() === 0)('a home that is not writable is status 5', async () => {
    await using it = await emptyHome()
    const locked = join(it.home, 'locked')
    mkdirSync(locked, { mode: 0o500 })
    const { status } = await weft(['up', '--home', join(locked, 'home'), ...QUIET])
    chmodSync(locked, 0o700)
    expect(status).toBe(5)
  })

  test('a home that is a file is a coded error, also detached', async () => {
    for (const mode of ['--foreground', '--detach']) {
      const { status, stdout } = await weft(['up', '--home', BIN, '--json', mode, ...QUIET])
      expect(status).toBe(5)
      expect(json(stdout)).toMatchObject({ schema: 'weft.error/1' })
    }
  })
})

describe('weft up in a private cluster', () => {
  test('says that members alone get in, not that the mesh is open', async () => {
    await using made = await emptyHome()
    const at = ['--home', made.home]
    expect(await weft(['cluster', 'create', 'clinic', ...at])).toMatchObject({ status: 0 })
    const listen = ['--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0']
    const started = await weft(['up', '--detach', '--lan', 'open', '--name', 'ward-7', ...listen, ...at])
    // Found by the name that it has on the mesh, and the last admin.
    expect((await weft(['revoke', 'ward-7', '--reason', 'x', ...at])).stderr).toMatch(/WEFT-TRU-/)
    const { checks } = json((await weft(['doctor', '--security', '--json', ...at])).stdout) as { checks: object[] }
    expect(checks).toContainEqual(expect.objectContaining({ id: 'lan', level: 'ok' }))
    const stopped = await weft(['down', ...at])
    expect([started.status, stopped.status]).toEqual([0, 0])
    expect(started.stdout).toContain('private cluster "clinic", for its members alone')
    expect(started.stdout + started.stderr).not.toMatch(/open/)
  })
})
