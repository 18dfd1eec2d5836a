/** Real peers that bring one model in: from its source once in total, however many start, and whoever dies. */
import { createServer } from 'node:http'
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isWhole } from '../whole.ts'
import { answer, codeOf, counter, createLab, endProcess, greedy, joined, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

/** Ten where the machine has the processors for it. */
const PEERS = Number(process.env['WEFT_TEST_PEERS'] ?? 3)
const PART_BYTES = 64 << 10
const PART_MS = 25
/** Peers start one after the other, and all share what processors there are. */
const DEADLINE_MS = 300_000 + 60_000 * PEERS

interface Source {
  readonly url: string
  /** Requests for the file, from its beginning. */
  readonly whole: () => number
  readonly bytes: () => number
  /** While it is on, answers stop before their end. */
  stall(on: boolean): void
  stop(): Promise<void>
}

let lab: Lab
let source: Source

beforeEach(async () => {
  lab = await createLab()
  source = await startSource(await readFile(TINY))
})

afterEach(async () => {
  await lab.stop()
  await source.stop()
})

/** A source that takes a while, and counts. */
async function startSource(file: Buffer): Promise<Source> {
  const state = { whole: 0, bytes: 0, stalled: false }
  const send = async (response: ServerResponse, from: number): Promise<void> => {
    for (let at = from; at < file.length && !response.destroyed; at += PART_BYTES) {
      const part = file.subarray(at, at + PART_BYTES)
      while (state.stalled && at > file.length / 2 && !response.destroyed) await pause(50)
      response.write(part)
      state.bytes += part.length
      await pause(PART_MS)
    }
    response.end()
  }
  const server: Server = createServer((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (from === 0) state.whole += 1
    const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` }
    response.writeHead(from === 0 ? 200 : 206, { etag: '"tiny"', 'content-length': file.length - from, ...range })
    void send(response, from)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/shared.gguf`,
    whole: () => state.whole,
    bytes: () => state.bytes,
    stall: (on) => void (state.stalled = on),
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** One fetches, all others wait. */
function isOneOf(kinds: readonly (string | undefined)[]): boolean {
  const [fetching, waiting] = ['import', 'wait'].map((kind) => kinds.filter((one) => one === kind).length)
  return fetching === 1 && waiting === kinds.length - 1
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

async function startAll(count: number): Promise<RealPeer[]> {
  const peers: RealPeer[] = []
  for (let index = 0; index < count; index++) peers.push(await lab.start(`peer${index}`))
  await joined(peers, DEADLINE_MS)
  return peers
}

describe('a model that several peers want', () => {
  it.runIf(isWhole)(
    `${PEERS} peers that import at once pull its source once in total, and all have it`,
    async () => {
      const peers = await startAll(PEERS)
      const seen = new Set<string>()
      const infos = await Promise.all(
        peers.map((peer) =>
          peer.access.importModel({ source: source.url }, ({ task }) => seen.add(task.split(' ')[0]!)),
        ),
      )
      expect(source.whole()).toBe(1)
      expect(source.bytes()).toBe((await readFile(TINY)).length)
      expect(new Set(infos.map(({ digest }) => digest)).size).toBe(1)
      const shared = await Promise.all(peers.map((peer) => counter(peer, 'imports_shared')))
      expect(shared.reduce((sum, one) => sum + one, 0)).toBe(PEERS - 1)
      expect(seen).toContain('waiting')
      // Each has it whole: without any other it answers, and gives the same text.
      const model = infos[0]!.model
      const texts = []
      for (const peer of peers.slice(0, 2))
        texts.push((await answer(peer, greedy(model, 5, { placement: 'local' }))).ids)
      expect(texts[0]).toEqual(texts[1])
      expect(texts[0]).toHaveLength(5)
      // The second time as well, and for one that comes later.
      const late = await lab.start('late')
      await joined([late, peers[0]!], DEADLINE_MS)
      await late.access.importModel({ source: source.url }, () => undefined)
      expect(source.whole()).toBe(1)
      // `weft rm` takes the last copy only when it is told to.
      for (const peer of [late, ...peers.slice(1)]) await peer.access.removeModel(model)
      await until(
        'nobody else holds it',
        async () => {
          const held = (await peers[0]!.access.models()).find((entry) => entry.model === model)
          return held?.holders.length === 1
        },
        DEADLINE_MS,
      )
      const refused = await peers[0]!.access.removeModel(model).catch(codeOf)
      expect(refused).toBe('WEFT-STO-021')
      await peers[0]!.access.removeModel(model, { last: true })
    },
    DEADLINE_MS,
  )

  it.runIf(isWhole)(
    'when the peer that fetches is killed, another takes over, and the rest wait for that one',
    async () => {
      const peers = await startAll(3)
      source.stall(true)
      const imports = peers.map((peer) => peer.access.importModel({ source: source.url }, () => undefined))
      for (const running of imports) running.catch(() => undefined)
      const kinds = async (): Promise<(string | undefined)[]> =>
        Promise.all(peers.map(async (peer) => (await peer.access.status()).transfers[0]?.kind))
      await until('one fetches and two wait', async () => isOneOf(await kinds()))
      const first = (await kinds()).indexOf('import')
      await until('it has begun', () => source.bytes() > 0)
      peers[first]!.child.kill('SIGKILL')
      source.stall(false)
      const others = imports.filter((_, index) => index !== first)
      const infos = await Promise.all(others)
      expect(infos[0]!.digest).toBe(infos[1]!.digest)
      expect(source.whole()).toBe(2)
      const left = peers.filter((_, index) => index !== first)
      const taken = await Promise.all(left.map((peer) => counter(peer, 'imports_taken_over')))
      expect(taken.reduce((sum, one) => sum + one, 0)).toBe(1)
      // The killed one goes on with what it had: from the mesh now.
      await endProcess(peers[first]!.child)
      const again = await lab.start(`peer${first}`)
      await joined([again, left[0]!])
      await again.access.importModel({ source: source.url }, () => undefined)
      expect(source.whole()).toBe(2)
    },
    DEADLINE_MS,
  )
})
