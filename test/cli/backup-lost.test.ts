/** A device is lost with its identity: what another member kept of it comes back to an empty machine, by the passphrase alone. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { isLong } from '../whole.ts'
import { BIN, call, json } from './support.ts'

const WAIT = { timeout: 60_000, interval: 200 }
const PASSPHRASE = 'correct horse battery staple'
let folder: string
const children: ChildProcess[] = []
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-lost-'))))
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

interface Status {
  readonly peers: readonly { readonly id: string; readonly state: string }[]
  readonly seen_not_joined: unknown
}

interface Up {
  readonly child: ChildProcess
  readonly id: string
  readonly address: string
}

async function up(name: string, ...bootstrap: readonly string[]): Promise<Up> {
  const quiet = ['--lan', 'off', '--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--threads', '1']
  const others = bootstrap.flatMap((address) => ['--bootstrap', address])
  const child = spawn(process.execPath, [BIN, 'up', '--json', '--home', join(folder, name), ...quiet, ...others], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const ready = json(line) as { peer: string; addresses: string[] }
  return { child, id: ready.peer, address: ready.addresses[0]! }
}

async function stop({ child }: Up): Promise<void> {
  child.kill('SIGTERM')
  if (child.exitCode === null) await once(child, 'exit')
}

async function at(name: string, ...args: string[]): Promise<Record<string, unknown>> {
  const secret = args[0] === 'backup' && args[1] !== 'keep' ? ['--passphrase-file', join(folder, 'secret')] : []
  return json((await call([...args, ...secret, '--json', '--home', join(folder, name)])).stdout)
}

async function joins(name: string, keeper: Up): Promise<Up> {
  const { token } = await at('keeper', 'invite', 'create')
  expect(await at(name, 'join', String(token))).toMatchObject({ schema: 'weft.joined/1' })
  const peer = await up(name, keeper.address)
  await vi.waitFor(async () => {
    const { peers, seen_not_joined } = (await at(name, 'status')) as unknown as Status
    expect(
      peers.map(({ state }) => state),
      JSON.stringify(seen_not_joined),
    ).toContain('connected')
  }, WAIT)
  return peer
}

it.runIf(isLong)(
  'joins anew, fetches what was kept for the lost identity, and is that peer again in an empty home',
  async () => {
    await writeFile(join(folder, 'secret'), `${PASSPHRASE}\n`, { mode: 0o600 })
    await writeFile(join(folder, 'wrong'), 'another passphrase\n', { mode: 0o600 })
    await at('keeper', 'cluster', 'create', 'north')
    const keeper = await up('keeper')
    const clinic = await joins('clinic', keeper)
    await at('keeper', 'backup', 'keep', clinic.id)
    await at('clinic', 'key', 'create', '--scope', 'chat')
    const made = await at('clinic', 'backup', 'create', '--to', join(folder, 'sealed'))
    expect(made).toMatchObject({ schema: 'weft.backup/1' })
    expect(await at('clinic', 'backup', 'send', keeper.id)).toMatchObject({ schema: 'weft.backup-carried/1' })
    await stop(clinic)
    const before = {
      identity: await readFile(join(folder, 'clinic', 'keys', 'identity.key')),
      keys: await readFile(join(folder, 'clinic', 'keys', 'api-keys.json')).catch(() => undefined),
    }
    // the device and its folder are gone
    for (const name of ['clinic', 'sealed']) await rm(join(folder, name), { recursive: true })
    const fresh = await joins('fresh', keeper)
    expect(fresh.id).not.toBe(clinic.id)
    const got = join(folder, 'got')
    const wrong = ['backup', 'fetch', '--from', keeper.id, '--to', got, '--passphrase-file', join(folder, 'wrong')]
    expect(json((await call([...wrong, '--json', '--home', join(folder, 'fresh')])).stdout)).toMatchObject({
      error: { code: 'WEFT-CFG-015' },
    })
    expect(await at('fresh', 'backup', 'fetch', '--from', keeper.id, '--to', got)).toMatchObject({
      schema: 'weft.backup-carried/1',
    })
    expect(await at('fresh', 'backup', 'fetch', keeper.id, '--of', clinic.id, '--to', got)).toMatchObject({
      carried: 0,
    })
    const restored = await at('clinic-again', 'backup', 'restore', '--from', got)
    expect(restored).toMatchObject({ schema: 'weft.backup-restored/1', peer: clinic.id })
    expect(await readFile(join(folder, 'clinic-again', 'keys', 'identity.key'))).toEqual(before.identity)
    if (before.keys !== undefined)
      expect(await readFile(join(folder, 'clinic-again', 'keys', 'api-keys.json'))).toEqual(before.keys)
    expect(await at('clinic-again', 'audit', 'verify')).toMatchObject({ ok: true })
    const again = await up('clinic-again', keeper.address)
    expect(again.id).toBe(clinic.id)
    await vi.waitFor(async () => {
      const { peers } = (await at('clinic-again', 'status')) as unknown as Status
      expect(peers.some(({ id, state }) => id === keeper.id && state === 'connected')).toBe(true)
    }, WAIT)
    const { stdout } = await call(['audit', 'tail', '--lines', '200', '--jsonl', '--home', join(folder, 'keeper')])
    const claims = stdout.split('\n').filter((line) => line.includes('backup.claimed'))
    expect(claims.map((line) => (JSON.parse(line) as { result: string }).result)).toEqual(
      expect.arrayContaining(['refused', 'ok']),
    )
  },
  280_000,
)
