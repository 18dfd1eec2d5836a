import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keyedCodec, OPEN_TAG, openCodec } from '../../src/net/announcement.ts'
import { announced, chooseInterfaces } from '../../src/net/interfaces.ts'
import type { InterfaceTable } from '../../src/net/interfaces.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { startPeer } from './child.ts'
import { connectedIds, joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
let directory: string
/** Tests of several files run at once on one machine: each has a port of its own. */
let mdnsPort = 40_000 + (process.pid % 10_000)

beforeEach(async () => {
  mdnsPort++
  directory = await mkdtemp(join(tmpdir(), 'weft-rendezvous-'))
  await chmod(directory, 0o700)
})
afterEach(async () => {
  await pool.stopAll()
  await rm(directory, { recursive: true, force: true })
})

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

describe('finding peers nearby', () => {
  test('by multicast DNS, with no address named', async () => {
    const a = await pool.add({ discovery: true, mdnsPort })
    const b = await pool.add({ discovery: true, mdnsPort })
    const c = await pool.add({ discovery: true, mdnsPort })
    await Promise.all([joined(a, b), joined(b, c), joined(a, c)])
  })

  test('by multicast DNS in a mesh with a key, which others do not even see', async () => {
    const init = { discovery: true, mdnsPort, networkKey: key(1) }
    const [a, b] = [await pool.add(init), await pool.add(init)]
    const other = await pool.add({ ...init, networkKey: key(2) })
    const open = await pool.add({ discovery: true, mdnsPort })
    await joined(a, b)
    await until(() => a.refusals().some((one) => one.id === open.id))
    expect(a.refusals()[0]).toMatchObject({ code: 'WEFT-DSC-001', id: open.id })
    expect(other.refusals().filter((one) => one.id === a.id || one.id === b.id)).toEqual([])
    expect(open.refusals()).toEqual([])
    expect([connectedIds(other), connectedIds(open)]).toEqual([[], []])
  })

  test('open meshes with other names are seen, and listed with their name', async () => {
    const a = await pool.add({ discovery: true, mdnsPort, networkName: 'kitchen' })
    const b = await pool.add({ discovery: true, mdnsPort, networkName: 'lab' })
    await until(() => a.refusals().some((one) => one.id === b.id && one.why.includes("'lab'")))
    await until(() => b.refusals().some((one) => one.id === a.id && one.why.includes("'kitchen'")))
    expect(connectedIds(a)).toEqual([])
  })

  test('a copied home on the same network is told, with a handshake as proof', async () => {
    const identity = newIdentity()
    const a = await pool.add({ identity, discovery: true, mdnsPort })
    const b = await pool.add({ identity, discovery: true, mdnsPort })
    for (const one of [a, b]) await until(() => one.refusals().some((refusal) => refusal.code === 'WEFT-DSC-003'))
  })

  test('by files on one machine where multicast does not work, and the files go with their peers', async () => {
    const dead = { discovery: true, rendezvous: directory }
    const a = await pool.add({ ...dead, mdnsPort })
    const b = await pool.add({ ...dead, mdnsPort: mdnsPort + 1000 })
    await joined(a, b)
    expect(await readdir(directory)).toHaveLength(2)
    for (const name of await readdir(directory)) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600)
    await a.stop()
    expect(await readdir(directory)).toHaveLength(1)
    mdnsPort += 1000
  })

  test('files that a killed peer has left are removed, and foreign ones are let be', async () => {
    const child = await startPeer({ discovery: true, mdnsPort, rendezvous: directory })
    await until(async () => (await readdir(directory)).length === 1)
    child.process.kill('SIGKILL')
    await writeFile(join(directory, 'notes.txt'), 'mine')
    await pool.add({ discovery: true, mdnsPort: mdnsPort + 1000, rendezvous: directory })
    await until(async () => {
      const names = await readdir(directory)
      return names.length === 2 && !names.some((name) => name.startsWith(`${child.process.pid}-`))
    })
    expect(await readdir(directory)).toContain('notes.txt')
  })

  test('a folder that others may write to is not used', async () => {
    await chmod(directory, 0o777)
    const a = await pool.add({ discovery: true, mdnsPort, rendezvous: directory })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await readdir(directory)).toEqual([])
    await a.stop()
  })

  test('says on which interface multicast DNS does not work', async () => {
    const socket = createSocket({ type: 'udp4', reuseAddr: false })
    await new Promise<void>((resolve) => socket.bind(mdnsPort, '0.0.0.0', resolve))
    const a = await pool.add({ discovery: true, mdnsPort })
    await until(() => a.interfaces().some((one) => one.why.includes('EADDRINUSE')))
    socket.close()
  })

  test('with --lan off nothing is announced and nobody is looked for', async () => {
    const a = await pool.add({ discovery: true, mdnsPort, rendezvous: directory, lan: 'off' })
    const b = await pool.add({ discovery: true, mdnsPort, rendezvous: directory })
    await until(async () => (await readdir(directory)).length === 1)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(connectedIds(b)).toEqual([])
    b.keep(a.addresses()[0]!)
    await joined(a, b)
  })
})

describe('announcements', () => {
  const random = systemRandom()
  const codec = (byte: number) => keyedCodec(random, networkSecrets('x', key(byte)).announce!)
  const one = { network: '', peer: newIdentity().id, instance: 'ab'.repeat(16), addresses: ['/ip4/10.0.0.1/tcp/7334'] }

  test('of a keyed mesh can be read with the key alone, and differ each time', () => {
    const bytes = codec(1).encode(one)
    expect(codec(1).decode(bytes)).toEqual(one)
    expect(codec(2).decode(bytes)).toBeUndefined()
    expect(openCodec().decode(bytes)).toBeUndefined()
    expect(Buffer.from(bytes).includes('7334')).toBe(false)
    expect(codec(1).encode(one)).not.toEqual(bytes)
  })

  test('come under a tag that changes by the hour and is heard an hour early and late', () => {
    const now = 1_800_000_000_000
    const tag = codec(1).tag(now)
    expect(tag).toMatch(/^_[0-9a-f]{15}\._udp\.local$/)
    for (const shift of [-3_600_000, 0, 3_600_000]) expect(codec(1).tags(now + shift)).toContain(tag)
    expect(codec(1).tags(now + 3 * 3_600_000)).not.toContain(tag)
    expect(codec(2).tags(now)).not.toContain(tag)
    expect(openCodec().tag(now)).toBe(OPEN_TAG)
  })

  test('that are damaged or hostile are nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), (bytes) => {
        expect(codec(1).decode(bytes)).toBeUndefined()
        openCodec().decode(bytes)
      }),
    )
    const bytes = Uint8Array.from(codec(1).encode(one))
    bytes[20]! ^= 1
    expect(codec(1).decode(bytes)).toBeUndefined()
  })
})

describe('interfaces', () => {
  const entry = (address: string, internal = false) => {
    const family = address.includes(':') ? ('IPv6' as const) : ('IPv4' as const)
    return { address, family, internal, netmask: '', mac: '', cidr: null, ...(family === 'IPv6' ? { scopeid: 0 } : {}) }
  }
  const table = {
    lo: [entry('127.0.0.1', true), entry('::1', true)],
    eth0: [entry('192.168.1.7'), entry('fe80::1')],
    wlan0: [entry('10.1.1.2')],
    docker0: [entry('172.17.0.1')],
    'br-1f2e3d': [entry('172.18.0.1')],
    veth12ab: [entry('169.254.3.4')],
    virbr0: [entry('192.168.122.1')],
    tailscale0: [entry('100.64.0.9')],
    utun3: [entry('10.9.0.2')],
    eth1: [entry('169.254.7.7')],
  } as unknown as InterfaceTable

  test('of real networks are used, bridges and tunnels are listed with the reason', () => {
    const choices = chooseInterfaces(['/ip4/0.0.0.0/tcp/7334'], table)
    expect(choices.filter((one) => one.used).map((one) => one.name)).toEqual(['lo', 'eth0', 'wlan0'])
    expect(choices.every((one) => one.why.length > 3)).toBe(true)
    expect(choices.find((one) => one.name === 'docker0')!.why).toBe('container bridge')
    expect(announced(['/ip4/0.0.0.0/tcp/7334'], choices, false)).toEqual([
      '/ip4/192.168.1.7/tcp/7334',
      '/ip4/10.1.1.2/tcp/7334',
    ])
    expect(announced(['/ip4/0.0.0.0/tcp/7334'], choices, true).at(-1)).toBe('/ip4/127.0.0.1/tcp/7334')
  })

  test('that are named are used whatever their kind, and no others', () => {
    const listen = ['/ip4/100.64.0.9/tcp/7334']
    const choices = chooseInterfaces(listen, table)
    expect(choices.filter((one) => one.used).map((one) => one.name)).toEqual(['tailscale0'])
    expect(announced(listen, choices, true)).toEqual(listen)
  })
})
