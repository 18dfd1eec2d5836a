/** A process with several sites of a federation in it, each with a network of its own over TCP, its own folder and its own ledger. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Federation } from '../../../src/federated/index.ts'
import type { FederationNeeds } from '../../../src/federated/index.ts'
import { decodeControl } from '../../../src/net/index.ts'
import type { Channel, Frame, Network } from '../../../src/net/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { verify } from '../../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { network } from '../../net/helpers.ts'
import { identityAt } from './hosted.ts'
import type { HostCall, HostInit, HostWord } from './hosted.ts'

const clock = systemClock()

interface Place {
  readonly pid: number
  readonly addresses: readonly string[]
}

const pathOf = (at: number): string => join(init.folder, `at-${at}.json`)

function placeOf(at: number | undefined): Place | undefined {
  try {
    return at === undefined ? undefined : (JSON.parse(readFileSync(pathOf(at), 'utf8')) as Place)
  } catch {
    return undefined
  }
}

/** Connections are made where one is wanted: of 66 all with all would be 2,145. So who is there is known by its process. */
function isThere(at: number | undefined): boolean {
  const place = placeOf(at)
  try {
    return place !== undefined && process.kill(place.pid, 0)
  } catch {
    return false
  }
}

interface Hosted {
  readonly net: Network
  readonly federation: Federation
}

const init = JSON.parse(process.argv[2]!) as HostInit
const hosted = new Map<number, Hosted>()
const places = new Map(Array.from({ length: init.members }, (_, at) => [identityAt(at).id, at]))
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

async function hostedAt(at: number): Promise<Hosted> {
  const identity = identityAt(at)
  const home = join(init.folder, `m${at}`)
  mkdirSync(join(home, 'keys'), { recursive: true })
  const net = await network({ identity, bootstrap: at === init.author ? [] : (placeOf(init.author)?.addresses ?? []) })
  net.lookUp((peer) => placeOf(places.get(peer))?.addresses ?? [])
  writeFileSync(pathOf(at), JSON.stringify({ pid: process.pid, addresses: net.addresses() }))
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
    isPresent: (peer) => isThere(places.get(peer)),
    // Many share one loop, which may stand still for longer than a peer that is watched may: who is gone has ended its process.
    watch: () => () => undefined,
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
      throw new Error('this is not asked of a site')
  }
}

async function main(): Promise<void> {
  process.on('message', (call: HostCall) => {
    void answered(call).then(
      (result) => say({ call: call.call, result }),
      (error: unknown) => say({ call: call.call, error: String((error as Error).stack) }),
    )
  })
  process.on('disconnect', () => process.exit(0))
  for (const at of init.sites) hosted.set(at, await hostedAt(at))
  say({ ready: true })
}

await main()
