/**
 * What a hop of the ring costs without computing: a frame goes from one process (in place of a stage host) over its
 * local socket to a peer, over a lane to another peer, over a local socket to a fourth process, and back the same way.
 * Half of that is a hop. Once back to back, and once with pauses as long as a stage computes, when every process on the
 * way has gone to sleep. Beside it a bare TCP echo between two processes, in turns within one run.
 *
 *   node bench/hop.ts [--json] [--rounds 5] [--trips 300] [--pause 5]
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { channelOverSocket, DTYPE, frame } from '../src/net/index.ts'
import type { Channel } from '../src/net/index.ts'
import { bareTrip } from './support/bare-tcp.ts'
import { median } from './support/median.ts'
import { startNetwork } from './support/network.ts'

/** A row of width 1,024 in f16. */
const BYTES = 2 << 10
const PROTOCOL = '/bench/hop/1'
const PAYLOAD = new Uint8Array(BYTES).fill(7)

type Trip = () => Promise<void>

function listen(server: Server, where: object): Promise<void> {
  return new Promise((resolve) => server.listen(where, resolve))
}

function socketName(role: string): string {
  return join(tmpdir(), `weft-hop-${process.pid}-${role}.sock`)
}

function relay(one: Channel, other: Channel): void {
  one.onFrame((got) => other.send(got))
  other.onFrame((got) => one.send(got))
}

/** The far end: echoes over a local socket, and over bare TCP. */
async function farHost(): Promise<object> {
  const path = socketName('host')
  const local = createServer((socket) => {
    const channel = channelOverSocket(socket, 'peer')
    channel.onFrame((got) => channel.send(got))
  })
  const raw = createServer((socket) => void socket.setNoDelay(true).on('data', (bytes) => void socket.write(bytes)))
  await Promise.all([listen(local, { path }), listen(raw, { port: 0, host: '127.0.0.1' })])
  return { path, port: (raw.address() as AddressInfo).port }
}

async function farPeer(host: string): Promise<object> {
  const net = await startNetwork([])
  net.handle(PROTOCOL, 'compute', (channel) => relay(channel, channelOverSocket(connect(host), 'host')))
  return { address: net.addresses()[0]!, id: net.id }
}

async function nearPeer(address: string, id: string): Promise<object> {
  const net = await startNetwork([address])
  await new Promise<void>((resolve) => net.on({ connected: () => resolve() }))
  const path = socketName('near')
  const server = createServer((socket) => {
    socket.pause()
    void net.openLane(id, PROTOCOL).then((lane) => {
      relay(channelOverSocket(socket, 'host'), lane)
      socket.resume()
    })
  })
  await listen(server, { path })
  return { path }
}

/** What a role tells once it is ready: where it listens, and as whom. */
interface Told {
  readonly path: string
  readonly port: number
  readonly address: string
  readonly id: string
}

async function start(...args: readonly string[]): Promise<{ child: ChildProcess; told: Told }> {
  const child = fork(fileURLToPath(import.meta.url), args)
  const [told] = (await once(child, 'message')) as [Told]
  return { child, told }
}

function hopTrip(channel: Channel): Trip {
  let done = (): void => undefined
  channel.onFrame(() => done())
  return () =>
    new Promise((resolve) => {
      done = resolve
      void channel.send(frame({ type: 1, dtype: DTYPE.f16, dims: [BYTES / 2], payload: PAYLOAD }))
    })
}

/** Half of a round trip, p50, in microseconds. */
async function measure(trip: Trip, trips: number, pause: number): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < trips; index++) {
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
    const began = performance.now()
    await trip()
    times.push(((performance.now() - began) * 1000) / 2)
  }
  return times.toSorted((a, b) => a - b)[Math.floor(trips / 2)]!
}

async function main(rounds: number, trips: number, pause: number, json: boolean): Promise<void> {
  const host = await start('far-host')
  const far = await start('far-peer', host.told.path)
  const near = await start('near-peer', far.told.address, far.told.id)
  const raw = connect(host.told.port, '127.0.0.1')
  const local = connect(near.told.path)
  await Promise.all([once(raw, 'connect'), once(local, 'connect')])
  const bare = bareTrip(raw)
  const ways: readonly (readonly [string, Trip])[] = [
    ['bare TCP', () => bare(PAYLOAD)],
    ['hop', hopTrip(channelOverSocket(local, 'peer'))],
  ]
  const seen = new Map<string, number[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const wait of [0, pause]) {
      for (const [name, trip] of ways) {
        const micros = await measure(trip, trips, wait)
        const key = `${name} ${wait}`
        // The first round warms up.
        if (round > 0) seen.set(key, [...(seen.get(key) ?? []), micros])
      }
    }
  }
  const rows = [0, pause].map((wait) => ({
    pause: wait,
    bare: median(seen.get(`bare TCP ${wait}`)!),
    hop: median(seen.get(`hop ${wait}`)!),
  }))
  report(rows, json)
  for (const { child } of [near, far, host]) child.disconnect()
  raw.destroy()
  local.destroy()
}

function report(rows: readonly { pause: number; bare: number; hop: number }[], json: boolean): void {
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    process.stdout.write(`${JSON.stringify({ schema: 'weft.bench.hop/1', machine, unit: 'us', bytes: BYTES, rows })}\n`)
    return
  }
  process.stdout.write(`One way, ${BYTES / 1024} KB, median of the rounds' medians. ${machine}\n\n`)
  process.stdout.write(
    '| | bare TCP, two processes, us | host, peer, peer, host, us | ratio |\n| --- | --- | --- | --- |\n',
  )
  for (const { pause, bare, hop } of rows) {
    const name = pause === 0 ? 'back to back' : `every ${pause} ms`
    process.stdout.write(`| ${name} | ${bare.toFixed(0)} | ${hop.toFixed(0)} | ${(hop / bare).toFixed(1)} |\n`)
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    trips: { type: 'string', default: '300' },
    pause: { type: 'string', default: '5' },
  },
})
const [role, first = '', second = ''] = positionals
if (role === undefined) await main(Number(values.rounds), Number(values.trips), Number(values.pause), values.json)
else {
  process.on('disconnect', () => process.exit(0))
  process.send!(
    role === 'far-host' ? await farHost() : role === 'far-peer' ? await farPeer(first) : await nearPeer(first, second),
  )
}
