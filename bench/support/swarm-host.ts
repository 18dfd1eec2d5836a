/** One host of bench/swarm.ts: a holder, or the one that fetches. Talks with the benchmark over standard streams. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createMesh } from '../../src/mesh/index.ts'
import type { BlobRequest, Mesh } from '../../src/mesh/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { startNetwork } from './network.ts'

export interface HostReady {
  readonly id: string
  readonly address: string
  /** Port of the plain socket that sends without end. */
  readonly raw: number
  readonly blobs: readonly BlobRequest[]
}

/** What a host is asked, one JSON line each; it answers with one. */
export type HostOrder =
  | { readonly do: 'fetch'; readonly blobs: readonly BlobRequest[]; readonly holders: readonly string[] }
  | { readonly do: 'raw'; readonly ends: readonly (readonly [host: string, port: number])[]; readonly bytes: number }
  | { readonly do: 'cpu' }

export interface HostAnswer {
  readonly ms: number
  /** Processor time of this process, in seconds. */
  readonly cpu: number
  readonly counters: Readonly<Record<string, number>>
}

const TENSORS = 24

/** Bytes that are no repetition: of a counter, spread by a multiplication. */
function content(seed: number, bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4)
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index + seed * 7919, 2654435761)
  return new Uint8Array(words.buffer)
}

async function fill(store: BlobStore, bytes: number): Promise<BlobRequest[]> {
  const blobs: BlobRequest[] = []
  // As in a model: some large tensors, many small ones.
  for (let index = 0; index < TENSORS; index++) {
    const share = index % 4 === 0 ? 0.13 : index % 4 === 1 ? 0.03 : 0.003
    blobs.push(await store.put(content(index, 4 * Math.ceil((bytes * share) / 4))))
  }
  return blobs
}

function meshOn(
  store: BlobStore,
  network: Awaited<ReturnType<typeof startNetwork>>,
  count: Map<string, number>,
  identity: ReturnType<typeof newIdentity>,
): Mesh {
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined }
  return createMesh({
    network,
    identity,
    clock: systemClock(),
    random: systemRandom(),
    store,
    logger: quiet,
    telemetry: { count: (name, by = 1) => void count.set(name, (count.get(name) ?? 0) + by) },
    files: { read: () => Promise.resolve(undefined), write: () => Promise.resolve() },
    loadManifest: () => Promise.resolve(undefined),
  })
}

/** Reads from all ends at once until so many bytes have come in sum. */
async function readRaw(ends: readonly (readonly [string, number])[], bytes: number): Promise<void> {
  const sockets = ends.map(([host, port]) => connect(port, host))
  let got = 0
  const done = Promise.withResolvers<void>()
  for (const socket of sockets) {
    socket.on('data', (part) => {
      got += part.length
      if (got >= bytes) done.resolve()
    })
  }
  await done.promise
  for (const socket of sockets) socket.destroy()
}

export async function runHost(host: string, bytes: number, bootstrap: readonly string[]): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'weft-swarm-'))
  const counters = new Map<string, number>()
  const identity = newIdentity()
  const network = await startNetwork(bootstrap, host, identity)
  let round = 0
  let store = await createBlobStore({ directory: join(root, '0') })
  const blobs = bytes > 0 ? await fill(store, bytes) : []
  let mesh = meshOn(store, network, counters, identity)
  await mesh.start()
  const endless = Buffer.alloc(256 << 10, 7)
  const raw = createServer((socket) => {
    const push = (): void => {
      while (socket.writable && socket.write(endless));
    }
    socket.on('drain', push).on('error', () => undefined)
    push()
  })
  await new Promise<void>((resolve) => raw.listen(0, host, resolve))
  const say = (answer: HostReady | HostAnswer): void => void process.stdout.write(`${JSON.stringify(answer)}\n`)
  say({ id: network.id, address: network.addresses()[0]!, raw: (raw.address() as AddressInfo).port, blobs })

  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as HostOrder
    if (order.do === 'fetch') {
      // A store of its own for each round: nothing is there, and nothing is served from it.
      await mesh.stop()
      await rm(join(root, String(round)), { recursive: true, force: true })
      store = await createBlobStore({ directory: join(root, String(++round)) })
      mesh = meshOn(store, network, counters, identity)
      await mesh.start()
    }
    counters.clear()
    const [cpu, start] = [process.cpuUsage(), performance.now()]
    if (order.do === 'fetch') await mesh.fetchTensors(order.blobs, order.holders)
    if (order.do === 'raw') await readRaw(order.ends, order.bytes)
    const ms = performance.now() - start
    const used = order.do === 'cpu' ? process.cpuUsage() : process.cpuUsage(cpu)
    say({ ms, cpu: (used.user + used.system) / 1e6, counters: Object.fromEntries(counters) })
  }
  await mesh.stop()
  await network.stop()
  await rm(root, { recursive: true, force: true })
  process.exit(0)
}

/** Both ends of a conversation with a host. */
export async function nextLine<Answer>(lines: ReturnType<typeof createInterface>): Promise<Answer> {
  const [text] = (await once(lines, 'line')) as [string]
  return JSON.parse(text) as Answer
}
