import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import * as fc from 'fast-check'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { afterEach, describe, expect, test } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { INITIAL_WINDOW_BYTES } from '../../src/net/constants.ts'
import { converse, HELLO_PROTOCOL } from '../../src/net/hello.ts'
import type { HelloInit, HelloOutcome, Verdict } from '../../src/net/hello.ts'
import { encodeControl, encodeFrame, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { weftNoise } from '../../src/net/noise.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { networkPool, until } from './helpers.ts'

const random = systemRandom()
const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

interface Side {
  readonly init: HelloInit
  outcome?: HelloOutcome
  heard?: Verdict
}

function side(role: HelloInit['role'], change: Partial<HelloInit> = {}): Side {
  const [self, remote] = role === 'dialler' ? ['peer-a', 'peer-b'] : ['peer-b', 'peer-a']
  const made: { init: HelloInit; outcome?: HelloOutcome; heard?: Verdict } = {
    init: {
      role,
      self,
      remote,
      versions: { min: 1, max: 1 },
      proofKey: key(1),
      nonce: random.bytes(32),
      now: () => 0,
      about: { software: '1', name: self, network: 'n', instance: 'ab'.repeat(16), epoch: 0, addresses: [] },
      judge: () => Promise.resolve({ verdict: 'welcome' }),
      decision: () => new Promise(() => undefined),
      heard: (verdict) => (made.heard = verdict),
      joined: (outcome) => (made.outcome = outcome),
      ...change,
    },
  }
  return made
}

/** Lets two sides talk; `meddle` may change what passes from one to the other, or cut it off (undefined). */
async function talk(a: Side, b: Side, meddle: (frame: Frame, from: Side) => Frame | undefined = (one) => one) {
  const queue = () => {
    const items: Frame[] = []
    let wake = (): void => undefined
    let ended = false
    return {
      push: (one: Frame | undefined) => {
        if (one === undefined) ended = true
        else items.push(one)
        wake()
      },
      end: () => {
        ended = true
        wake()
      },
      async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
        for (;;) {
          const next = items.shift()
          if (next !== undefined) yield next
          else if (ended) return
          else await new Promise<void>((resolve) => (wake = resolve))
        }
      },
    }
  }
  const [toA, toB] = [queue(), queue()]
  const run = async (one: Side, input: AsyncIterable<Frame>, output: typeof toA): Promise<Error | undefined> => {
    try {
      for await (const sent of converse(input, one.init)) output.push(meddle(sent, one))
      return undefined
    } catch (error) {
      return error as Error
    } finally {
      output.end()
    }
  }
  return Promise.all([run(a, toA, toB), run(b, toB, toA)])
}

describe('the greeting', () => {
  test('of two sides with one key ends with both joined, on the same transcript', async () => {
    const [a, b] = [side('dialler'), side('listener')]
    expect(await talk(a, b)).toEqual([undefined, undefined])
    expect(a.outcome!.transcript).toBe(b.outcome!.transcript)
    expect(a.outcome!.about.name).toBe('peer-b')
    const again = side('dialler')
    await talk(again, side('listener'))
    expect(again.outcome!.transcript).not.toBe(a.outcome!.transcript)
  })

  test('holds without the help of the transport: another key, another id or an old answer is refused', async () => {
    const cases: [Partial<HelloInit>, Partial<HelloInit>][] = [
      [{ proofKey: key(2) }, {}],
      [{ self: 'peer-c' }, {}],
      [{}, { remote: 'peer-c' }],
    ]
    for (const [mine, theirs] of cases) {
      const [a, b] = [side('dialler', mine), side('listener', theirs)]
      const errors = await talk(a, b)
      expect((errors[0] as WeftError).code).toBe('WEFT-DSC-001')
      expect([a.outcome, b.outcome]).toEqual([undefined, undefined])
    }
    const recorded: Frame[] = []
    await talk(side('dialler'), side('listener'), (one, from) => {
      if (from.init.role === 'listener') recorded.push(one)
      return one
    })
    const fresh = side('dialler')
    const replay = (async function* () {
      yield* recorded
    })()
    await expect(
      (async () => {
        for await (const _ of converse(replay, fresh.init));
      })(),
    ).rejects.toMatchObject({ code: 'WEFT-DSC-001' })
    expect(fresh.outcome).toBeUndefined()
  })

  test('tells nothing but versions before the other side has proven the key', async () => {
    const said: number[] = []
    await talk(side('dialler'), side('listener', { proofKey: key(9) }), (one, from) => {
      if (from.init.role === 'dialler') said.push(one.type)
      return one
    })
    expect(said).toEqual([1])
    const heard: number[] = []
    await talk(side('dialler'), side('listener'), (one, from) => {
      if (from.init.role === 'listener') heard.push(one.type)
      return from.init.role === 'dialler' && one.type === 2
        ? frame({ type: 2, control: encodeControl({ proof: key(3) }) })
        : one
    })
    expect(heard).toEqual([1, 2])
  })

  test('with any message changed, cut off or of another type never joins both, and fails with a coded error', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(7),
        fc.nat(200),
        fc.integer({ min: 1, max: 255 }),
        fc.nat(2),
        async (which, at, flip, how) => {
          let count = 0
          const [a, b] = [side('dialler'), side('listener')]
          const errors = await talk(a, b, (one) => {
            if (count++ !== which) return one
            if (how === 0) return undefined
            if (how === 1) return frame({ type: one.type + 1, control: one.control })
            const control = Uint8Array.from(one.control)
            control[at % control.length]! ^= flip
            return frame({ type: one.type, control })
          })
          for (const error of errors) if (error !== undefined) expect(error).toBeInstanceOf(WeftError)
          // text of the two `about`s is not signed by the proof: noise has done that
          if (a.outcome !== undefined && b.outcome !== undefined) expect(how).toBe(2)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('names that carry control characters are cleaned', async () => {
    const about = { ...side('dialler').init.about, name: 'x\u001b[31m\nred' }
    const b = side('listener')
    await talk(side('dialler', { about }), b)
    expect(b.outcome!.about.name).not.toMatch(/\p{Cc}/u)
  })
})

describe('a connection that has not greeted', () => {
  const pool = networkPool()
  const nodes: Libp2p[] = []
  afterEach(async () => {
    await pool.stopAll()
    for (const node of nodes.splice(0)) await node.stop()
  })

  /** Holds the network key, and does not greet as weft does. */
  const rude = async (): Promise<Libp2p> => {
    const node = await createLibp2p({
      privateKey: newIdentity().privateKey,
      transports: [tcp()],
      connectionEncrypters: [
        weftNoise({ secrets: networkSecrets('test', undefined), instance: random.bytes(16), note: () => undefined }),
      ],
      streamMuxers: [
        yamux({ streamOptions: { initialStreamWindowSize: INITIAL_WINDOW_BYTES, maxStreamWindowSize: 4 << 20 } }),
      ],
      connectionMonitor: { enabled: false },
    })
    nodes.push(node)
    return node
  }

  test('is served nothing: its streams are reset when the greeting fails, and it is listed', async () => {
    const a = await pool.add()
    let served = 0
    a.handle('/test/secret/1', 'compute', () => served++)
    const node = await rude()
    const connection = await node.dial(multiaddr(a.addresses()[0]))
    const early = await Promise.allSettled(Array.from({ length: 8 }, () => connection.newStream('/test/secret/1')))
    const hello = await connection.newStream(HELLO_PROTOCOL)
    hello.send(new Uint8ArrayList(...encodeFrame(frame({ type: 77 }))))
    await until(() => connection.status !== 'open')
    await until(() => early.every((one) => one.status === 'rejected' || one.value.status !== 'open'))
    expect(served).toBe(0)
    expect(a.connected()).toEqual([])
    expect(a.refusals()[0]).toMatchObject({ id: node.peerId.toString(), code: 'WEFT-DSC-008' })
  })

  test('that sends garbage or floods in place of a greeting is cut', async () => {
    const a = await pool.add()
    for (const bytes of [
      new Uint8Array(500).fill(65),
      new Uint8Array(200_000),
      encodeFrame(frame({ type: 1, control: encodeControl({ min: 1, max: 1, nonce: 'no' }) }))[0]!,
    ]) {
      const node = await rude()
      const connection = await node.dial(multiaddr(a.addresses()[0]))
      const hello = await connection.newStream(HELLO_PROTOCOL)
      hello.send(bytes)
      void hello.close().catch(() => undefined)
      await until(() => connection.status !== 'open')
    }
    const b = await pool.add({ bootstrap: [a.addresses()[0]!] })
    await until(() => b.connected().length === 1)
  })
})
