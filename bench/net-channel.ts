/**
 * Round trips between two processes of this machine: weft's channel over TCP and noise, over a lane (what the ring
 * uses), and over a local socket (a peer and its stage host), against bare TCP, in turns within one run.
 *
 *   node bench/net-channel.ts [--json] [--rounds 5] [--trips 1500]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { channelToOwn, DTYPE, frame } from '../src/net/index.ts'
import type { Channel } from '../src/net/index.ts'
import { bareTrip } from './support/bare-tcp.ts'
import { medians } from './support/median.ts'
import { startNetwork } from './support/network.ts'

const SIZES = [2 << 10, 64 << 10]
const ECHO = '/bench/echo/1'

interface Addresses {
  readonly tcp: number
  readonly socket: string
  readonly peer: string
  readonly id: string
}

interface Result {
  readonly p50: number
  readonly p99: number
}

function echo(channel: Channel): void {
  channel.onFrame((got) => channel.send(got))
}

/** The other process: echoes on all three. */
async function serve(): Promise<void> {
  const raw = createServer((socket) => void socket.setNoDelay(true).on('data', (bytes) => void socket.write(bytes)))
  const local = createServer((socket) => echo(channelToOwn(socket, 'bench')))
  const socket = join(tmpdir(), `weft-bench-${process.pid}.sock`)
  await Promise.all([listen(raw, { port: 0, host: '127.0.0.1' }), listen(local, { path: socket })])
  const network = await startNetwork([])
  network.handle(ECHO, 'compute', echo)
  const tcp = (raw.address() as AddressInfo).port
  process.send!({ tcp, socket, peer: network.addresses()[0]!, id: network.id } satisfies Addresses)
  process.on('disconnect', () => {
    local.close()
    process.exit(0)
  })
}

function listen(server: Server, where: object): Promise<void> {
  return new Promise((resolve) => server.listen(where, resolve))
}

type Trip = (size: number) => Promise<void>

function channelTrip(channel: Channel): Trip {
  let done = (): void => undefined
  channel.onFrame(() => done())
  let request = 0
  return (size) =>
    new Promise((resolve) => {
      done = resolve
      const payload = payloads.get(size)!
      void channel.send(frame({ type: 1, request: ++request, dtype: DTYPE.f16, dims: [size / 2], payload }))
    })
}

const payloads = new Map(SIZES.map((size) => [size, new Uint8Array(size).fill(7)]))

async function measure(trip: Trip, size: number, trips: number): Promise<Result> {
  const times: number[] = []
  for (let index = 0; index < trips; index++) {
    const start = performance.now()
    await trip(size)
    times.push((performance.now() - start) * 1000)
  }
  times.sort((a, b) => a - b)
  return { p50: times[Math.floor(trips / 2)]!, p99: times[Math.floor(trips * 0.99)]! }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      trips: { type: 'string', default: '1500' },
      serve: { type: 'boolean', default: false },
    },
  })
  if (values.serve) return serve()
  const child = fork(fileURLToPath(import.meta.url), ['--serve'])
  const [there] = (await once(child, 'message')) as [Addresses]
  const network = await startNetwork([there.peer])
  await new Promise<void>((resolve) => network.on({ connected: () => resolve() }))
  const raw = connect(there.tcp, '127.0.0.1')
  const local = connect(there.socket)
  await Promise.all([once(raw, 'connect'), once(local, 'connect')])
  const bare = bareTrip(raw)
  const ways: readonly (readonly [string, Trip])[] = [
    ['bare TCP', (size) => bare(payloads.get(size)!)],
    ['channel, TCP + noise', channelTrip(await network.open(there.id, ECHO))],
    ['channel, lane', channelTrip(await network.openLane(there.id, ECHO))],
    ['channel, local socket', channelTrip(channelToOwn(local, 'bench'))],
  ]
  const seen = new Map<string, Result[]>()
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const size of SIZES) {
      for (const [name, trip] of ways) {
        const result = await measure(trip, size, Number(values.trips))
        const key = `${name} ${size}`
        // The first round warms up.
        if (round > 0) seen.set(key, [...(seen.get(key) ?? []), result])
      }
    }
  }
  report(
    ways.map(([name]) => name),
    new Map([...seen].map(([key, results]) => [key, medians(results)] as const)),
    values.json,
  )
  child.disconnect()
  raw.destroy()
  local.destroy()
  await network.stop()
}

function report(names: readonly string[], results: ReadonlyMap<string, Result>, json: boolean): void {
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  const rows = SIZES.flatMap((size) =>
    names.map((name) => {
      const { p50, p99 } = results.get(`${name} ${size}`)!
      return { size, name, p50, p99, ratio: p50 / results.get(`${names[0]} ${size}`)!.p50 }
    }),
  )
  if (json) {
    process.stdout.write(`${JSON.stringify({ schema: 'weft.bench.net-channel/1', machine, unit: 'us', rows })}\n`)
    return
  }
  const lines = rows.map(
    ({ size, name, p50, p99, ratio }) =>
      `| ${size / 1024} KB | ${name} | ${p50.toFixed(0)} | ${p99.toFixed(0)} | ${ratio.toFixed(2)} |`,
  )
  const head = ['| payload | way | p50 us | p99 us | p50 against bare TCP |', '| --- | --- | --- | --- | --- |']
  process.stdout.write(`Round trips between two processes, medians of the rounds. ${machine}\n\n`)
  process.stdout.write(`${[...head, ...lines].join('\n')}\n`)
}

await main()
