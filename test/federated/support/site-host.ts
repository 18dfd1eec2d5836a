/** A process with several sites of a federation in it, each with a network of its own over TCP, its own folder and its own ledger. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Federation } from '../../../src/federated/index.ts'
import type { FederationNeeds } from '../../../src/federated/index.ts'
import { decodeControl } from '../../../src/net/index.ts'
import type { Channel, Frame, Network } from '../../../src/net/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { identityOfSeed, verify } from '../../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { network } from '../../net/helpers.ts'

const clock = systemClock()

/** What a test asks of it; the answer has the same number. */
export type HostCall = { readonly call: number; readonly at: number } & (
  | { readonly op: 'create'; readonly plan: object }
  | { readonly op: 'join'; readonly job: string; readonly data: string; readonly trainer: string }
  | { readonly op: 'start' | 'status' | 'events'; readonly job: string }
  | { readonly op: 'export'; readonly job: string; readonly out: string }
  | { readonly op: 'connected' | 'cpu' }
)

export type HostWord =
  | { readonly ready: readonly { readonly at: number; readonly id: string; readonly addresses: readonly string[] }[] }
  | { readonly held: number }
  | { readonly call: number; readonly result?: unknown; readonly error?: string }

export interface HostInit {
  readonly folder: string
  readonly sites: readonly number[]
  /** Addresses of those who are there already. */
  readonly bootstrap: readonly string[]
  /** The kind of message before which every site here is held from its next round on, for good. */
  readonly hold?: string | undefined
}

/** The same for a process that is started again. */
export function identityAt(at: number): ReturnType<typeof identityOfSeed> {
  return identityOfSeed(new Uint8Array(32).fill(7).fill(at + 1, 0, 4))
}

interface Hosted {
  readonly net: Network
  readonly federation: Federation
}

const init = JSON.parse(process.argv[2] ?? '{}') as HostInit
const hosted = new Map<number, Hosted>()
const say = (word: HostWord): void => void process.send?.(word)

/** Before the message of that kind nothing is sent any more. */
function held(channel: Channel, at: number): Channel {
  if (init.hold === undefined) return channel
  const send = async (frame: Frame): Promise<void> => {
    const { kind } = decodeControl(frame.control) as { readonly kind?: string }
    if (kind === init.hold) {
      say({ held: at })
      await new Promise(() => undefined)
    }
    await channel.send(frame)
  }
  return {
    remote: channel.remote,
    send,
    onFrame: (handler) => channel.onFrame(handler),
    closed: channel.closed,
    close: () => channel.close(),
    abort: (reason) => channel.abort(reason),
  }
}

async function hostedAt(at: number, bootstrap: readonly string[]): Promise<Hosted> {
  const identity = identityAt(at)
  const home = join(init.folder, `m${at}`)
  mkdirSync(join(home, 'keys'), { recursive: true })
  const net = await network({ identity, bootstrap })
  const over: FederationNeeds['network'] = {
    handle: (protocol, purpose, handler) => net.handle(protocol, purpose, handler),
    open: async (peer, protocol, signal) => held(await net.open(peer, protocol, signal), at),
    connected: () => net.connected(),
  }
  const federation = await Federation.open({
    clock,
    random: systemRandom(),
    identity,
    verify: (bytes, signature) => verify(identity.id, bytes, signature),
    network: over,
    engine: createOrtEngine(),
    threads: 1,
    paths: { state: home, keys: join(home, 'keys') },
    admits: () => true,
    permit: () => undefined,
    isPresent: (peer) => net.connected().some(({ id }) => id === peer),
    watch: (peer) => net.watch(peer),
    nameOf: (peer) => peer,
    emit: () => undefined,
    log: () => undefined,
  })
  federation.testWith({ record: join(home, 'kept') })
  return { net, federation }
}

async function answered(call: HostCall): Promise<unknown> {
  if (call.op === 'cpu') return process.cpuUsage()
  const { net, federation } = hosted.get(call.at)!
  switch (call.op) {
    case 'create':
      return federation.create(call.plan)
    case 'join':
      return federation.joinJob({ job: call.job, data: call.data, trainer: call.trainer })
    case 'start':
      return federation.start(call.job)
    case 'status':
      return federation.status(call.job)
    case 'events':
      return federation.events(call.job)
    case 'export':
      return federation.export(call.job, call.out)
    case 'connected':
      return net.connected().length
    default:
      throw new Error(`${call.op} is not asked of a site`)
  }
}

/** Whoever has this file alone, to know its types, starts nothing. */
async function main(): Promise<void> {
  process.on('message', (call: HostCall) => {
    void answered(call).then(
      (result) => say({ call: call.call, result }),
      (error: unknown) => say({ call: call.call, error: String((error as Error).stack) }),
    )
  })
  process.on('disconnect', () => process.exit(0))
  const ready: { at: number; id: string; addresses: readonly string[] }[] = []
  for (const at of init.sites) {
    const here = ready.flatMap(({ addresses }) => addresses)
    const one = await hostedAt(at, [...init.bootstrap, ...here])
    hosted.set(at, one)
    ready.push({ at, id: one.net.id, addresses: one.net.addresses() })
  }
  say({ ready })
}

if (process.send !== undefined && process.argv[2] !== undefined) await main()
