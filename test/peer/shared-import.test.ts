/** Who fetches a source when several peers want it: real records over the memory network, and time that a test moves. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { sharedImport } from '../../src/peer/shared-import.ts'
import type { ImportRequest } from '../../src/peer/index.ts'
import { pump } from '../mesh/support/blobs.ts'
import { createWorld, DIGEST, profile } from '../mesh/support/make-mesh.ts'
import type { TestPeer, World } from '../mesh/support/make-mesh.ts'
import { isWhole } from '../whole.ts'

type Manifest = Awaited<ReturnType<typeof sharedImport>>

const SOURCE = 'https://example.org/model.gguf'
const MODEL = {
  model: 'model',
  digest: DIGEST,
  blocks: [{ tensors: [] }],
  boundary: 'f16',
  license: 'MIT',
} as unknown as Manifest

let patienceMs: number
let world: World
let peers: TestPeer[]
/** Peers that began to fetch the source, and those that took the model from the mesh, in order. */
let fetched: string[]
let taken: string[]

beforeEach(async () => {
  world = createWorld()
  peers = [await world.peer(), await world.peer(), await world.peer()]
  ;[fetched, taken] = [[], []]
  patienceMs = Infinity
  world.hub.connectAll()
  for (const { mesh, id } of peers) await mesh.publishProfile(profile(id.slice(-4)))
  await world.clock.advance(500)
})

afterEach(() => world.end())

type FromSource = (
  peer: TestPeer,
  signal: AbortSignal | undefined,
  progress: (done: number) => void,
) => Promise<Manifest>

const whole: FromSource = async () => {
  await world.clock.sleep(4_000)
  return MODEL
}

function start(
  peer: TestPeer,
  fromSource: FromSource,
  more: Partial<ImportRequest> = {},
  signal?: AbortSignal,
  expected?: string,
): Promise<Manifest> {
  return sharedImport(
    {
      self: peer.id,
      clock: world.clock,
      mesh: peer.mesh,
      count: (name, by = 1) => void peer.counters.set(name, (peer.counters.get(name) ?? 0) + by),
      isListed: (source) => Promise.resolve(source === 'listed'),
      expected,
      patienceMs,
      fromSource: (_request, progress, end) => {
        fetched.push(peer.id)
        return fromSource(peer, end, (done) =>
          progress({ type: 'progress', task: '', done, total: null, unit: 'bytes' }),
        )
      },
      fromMesh: () => {
        taken.push(peer.id)
        return Promise.resolve(MODEL)
      },
      whileWaiting: (progress, wait) => wait(progress),
    },
    { source: SOURCE, ...more },
    () => undefined,
    signal,
  )
}

class Refused extends WeftError {
  constructor() {
    super({ code: 'WEFT-MOD-999', title: '', meaning: '', remedy: '', exit: 1, http: 500 }, 'the source refuses')
  }
}

describe('a source that several peers want', () => {
  it('is fetched by one, and by the same one whoever asks first', async () => {
    for (const order of [peers, peers.toReversed()]) {
      const mark = fetched.length
      await pump(world, Promise.all(order.map((peer) => start(peer, whole, { name: `n${mark}` }))))
      expect(fetched.length).toBe(mark + 1)
    }
    expect(taken.length).toBe(4)
    // Later it is in the mesh: nobody fetches, and nobody waits.
    const before = world.clock.now()
    await start(
      peers.find(({ id }) => id !== fetched[0])!,
      whole,
      { name: 'n0' },
    )
    expect(world.clock.now()).toBe(before)
  })

  it.each([0, 900, 1_700, 2_300, 4_000])(
    'is fetched by one, however late what they say arrives, where they begin %d ms apart',
    async (apart) => {
      await world.end()
      // Longer than a peer waits by itself.
      world = createWorld({ delay: () => 1_500 })
      peers = []
      while (peers.length < 10) peers.push(await world.peer())
      world.hub.connectAll()
      for (const { mesh, id } of peers) await mesh.publishProfile(profile(id.slice(-4)))
      await world.clock.advance(20_000)
      for (const order of [peers, peers.toReversed()]) {
        const mark = fetched.length
        const imports = order.map(async (peer, index) => {
          await world.clock.sleep(index * apart)
          return start(peer, whole, { name: `n${mark}` })
        })
        await pump(world, Promise.all(imports), 100)
        expect(fetched.length).toBe(mark + 1)
      }
    },
  )

  it('is left to each where it is asked for alone, or where it is a file', async () => {
    await pump(world, Promise.all(peers.map((peer) => start(peer, whole, { alone: true }))))
    expect(fetched.length).toBe(3)
    await pump(world, Promise.all(peers.map((peer) => start(peer, whole, { source: './file.gguf' }))))
    expect(fetched.length).toBe(6)
    await pump(world, Promise.all(peers.map((peer) => start(peer, whole, { source: 'listed' }))))
    expect(fetched.length).toBe(7)
  })

  it('is taken from others only if it is what it is known to be', async () => {
    const wanted = (digest: string): Promise<Manifest[]> =>
      pump(world, Promise.all(peers.map((peer) => start(peer, whole, { name: digest }, undefined, digest))))
    await wanted(DIGEST)
    expect([fetched.length, taken.length]).toEqual([1, 2])
    // What the first fetched has another digest: the others do not believe it, and each fetches for itself.
    await wanted('f'.repeat(64))
    expect([fetched.length, taken.length]).toEqual([4, 2])
  })

  it.runIf(isWhole)('is fetched by who has waited long enough, whatever another says', async () => {
    const endless: FromSource = async (peer, signal, progress) => {
      if (fetched[0] !== peer.id) return whole(peer, signal, progress)
      for (let done = 1; fetched.length === 1; done++) {
        await world.clock.sleep(1_000)
        progress(done)
      }
      return MODEL
    }
    patienceMs = 30_000
    const began = world.clock.now()
    await pump(world, Promise.all(peers.map((peer) => start(peer, endless))))
    expect(fetched.length).toBeGreaterThan(1)
    expect(world.clock.now() - began).toBeGreaterThan(patienceMs)
  })

  it('is taken over when the one that fetches fails, is cut off, or gives up', async () => {
    // Long enough for the others to see it.
    const refuse =
      (first: string): FromSource =>
      async (peer, signal, progress) => {
        if (peer.id !== first) return whole(peer, signal, progress)
        await world.clock.sleep(1_500)
        throw new Refused()
      }
    const cut =
      (first: string): FromSource =>
      async (peer, signal, progress) => {
        if (peer.id !== first) return whole(peer, signal, progress)
        await world.clock.sleep(1_500)
        for (const other of peers) if (other !== peer) world.hub.disconnect(peer.id, other.id)
        return new Promise<never>((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error))
        })
      }
    // Who is first follows from the ids: a run that fetches tells it.
    await pump(world, Promise.all(peers.map((peer) => start(peer, whole, { name: 'probe' }))))
    for (const [name, how] of [['refuse', refuse] as const, ['cut', cut] as const]) {
      const mark = fetched.length
      const stop = new AbortController()
      let first = ''
      const dynamic: FromSource = (peer, signal, progress) => {
        first ||= peer.id
        return how(first)(peer, signal, progress)
      }
      const all = peers.map((peer) =>
        start(peer, dynamic, { name }, stop.signal).then(
          () => 'ok',
          (error: unknown) => String(error),
        ),
      )
      const others = (): Promise<string>[] => all.filter((_, index) => peers[index]!.id !== first)
      await pump(world, world.clock.sleep(12_000))
      expect(await pump(world, Promise.all(others()))).toEqual(['ok', 'ok'])
      expect(fetched.length).toBe(mark + 2)
      expect(fetched[mark]).not.toBe(fetched[mark + 1])
      stop.abort(new Error('the end of the test'))
      await pump(world, Promise.all(all))
      world.hub.connectAll()
      await world.clock.advance(15_000)
    }
    const takenOver = peers.map(({ counters }) => counters.get('imports_taken_over') ?? 0)
    expect(takenOver.reduce((sum, one) => sum + one, 0)).toBe(2)
  })

  it.runIf(isWhole)('is not waited for with one that says nothing more, or gets no further', async () => {
    for (const [name, beats, wait] of [['silent', false, 45_000] as const, ['still', true, 11 * 60_000] as const]) {
      const mark = fetched.length
      const stop = new AbortController()
      const never: FromSource = (peer, signal, progress) =>
        fetched[mark] === peer.id
          ? new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)))
          : whole(peer, signal, progress)
      const all = peers.map((peer) =>
        start(peer, never, { name }, stop.signal).then(
          () => 'ok',
          (error: unknown) => String(error),
        ),
      )
      await pump(world, world.clock.sleep(2_000))
      const first = peers.find(({ id }) => id === fetched[mark])!
      // It is connected, and its process hangs: what it would say does not come.
      if (!beats) first.mesh.publishImport = () => Promise.resolve()
      await pump(world, world.clock.sleep(wait), beats ? 500 : 50)
      // Ten minutes pass in seconds here, and gossip takes its real time: both of the others may begin then.
      if (beats) expect(fetched.length).toBeGreaterThanOrEqual(mark + 2)
      else expect(fetched.length).toBe(mark + 2)
      expect(await pump(world, Promise.all(all.filter((_, index) => peers[index] !== first)))).toEqual(['ok', 'ok'])
      stop.abort(new Error('the end of the test'))
      await pump(world, Promise.all(all))
    }
  })

  it('that fails for two is tried by the rest at once', async () => {
    const more = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    peers.push(...more)
    await world.clock.advance(500)
    const refuse: FromSource = async () => {
      await world.clock.sleep(500)
      throw new Refused()
    }
    const begin = world.clock.now()
    const ends = await pump(world, Promise.allSettled(peers.map((peer) => start(peer, refuse))))
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true)
    expect(fetched.length).toBe(5)
    // One after the other it would be five times 0.5 s, after a second of settling.
    expect(world.clock.now() - begin).toBeLessThan(3_400)
  })
})
