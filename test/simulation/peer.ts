/** A peer of the simulation: the product's `createPeer` in a process, at a place and on a device that are made up. */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { join } from 'node:path'
import { runPeer } from '../../src/peer/create-peer.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import type { PeerNeeds } from '../../src/peer/parts.ts'
import { place, ROOT, unlinkIfThere } from './disk/memory-disk.ts'
import type { RunLog } from './log.ts'
import type { Hub } from './net/hub.ts'
import { SimulatedNetwork } from './net/network.ts'
import type { Access } from './net/weather.ts'
import { SimulatedProcess } from './process.ts'
import type { Chance } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import { ToyHosts, TOY_KERNEL } from './toy/hosts.ts'
import { giveModel } from './toy/model.ts'
import type { Bits } from './toy/mix.ts'
import type { Speed } from './toy/parts.ts'

const PROTOBUF_HEAD = Buffer.from('08011240', 'hex')
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_BYTES = 12
const GIB = 2 ** 30

export interface Device {
  readonly speed: Speed
  /** Bytes that the peer may use. */
  readonly memory: number
  /** How many times faster than it is it says that it is. @default 1 */
  readonly boast?: number
  /** Milliseconds by which its wall clock is wrong. */
  readonly skew: number
}

export interface PeerPlan {
  readonly index: number
  readonly device: Device
  readonly access: Access
  /** Peers of the same find each other by themselves. */
  readonly lan: string | undefined
  readonly hasModel: boolean
}

export interface PeerWorld {
  readonly scheduler: Scheduler
  readonly hub: Hub
  readonly log: RunLog
  readonly nextPid: () => number
  /** Addresses that everybody is told. */
  readonly bootstrap: () => readonly string[]
}

export class SimulatedPeer {
  readonly index: number
  readonly name: string
  readonly home: string
  readonly address: string
  readonly plan: PeerPlan
  readonly #world: PeerWorld
  readonly #chance: Chance
  id = ''
  process: SimulatedProcess
  hosts: ToyHosts | undefined
  network: SimulatedNetwork | undefined
  /** Undefined while it is down, or not up yet. */
  peer: LocalPeer | undefined
  /** When it was last thawed. */
  thawedAt = 0
  /** How often it was started. */
  lives = 0
  slowness = 1
  /** It stays down. */
  isOut = false
  /** Changes the rows that its stages give. */
  twist: ((row: Bits) => Bits) | undefined

  constructor(world: PeerWorld, plan: PeerPlan, chance: Chance) {
    const { index } = plan
    this.index = index
    this.name = `p${String(index).padStart(4, '0')}`
    this.home = join(ROOT, 'homes', this.name)
    this.address = `/ip4/10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/tcp/7334`
    this.plan = plan
    this.#world = world
    this.#chance = chance
    this.process = new SimulatedProcess(world.scheduler)
    place(join(this.home, 'keys', 'identity.key'), identity(chance.of('identity')))
    if (plan.hasModel) giveModel(this.home)
  }

  get isUp(): boolean {
    return this.peer !== undefined
  }

  async start(): Promise<void> {
    if (this.isOut) return
    const { scheduler, hub, log } = this.#world
    const { device, access } = this.plan
    const life = ++this.lives
    const process = new SimulatedProcess(scheduler, device.skew)
    this.process = process
    this.hosts = new ToyHosts({
      scheduler,
      process,
      nextPid: this.#world.nextPid,
      speed: () => scaled(device.speed, this.slowness),
      twist: (row) => this.twist?.(row) ?? row,
    })
    const needs: PeerNeeds = {
      clock: process,
      random: this.#chance.of(`life ${life}`),
      machine: machineOf(device),
      runHost: this.hosts.run,
      createNetwork: async (networkNeeds, init) => {
        const network = new SimulatedNetwork(networkNeeds, init, {
          hub,
          process,
          address: this.address,
          lan: this.plan.lan,
        })
        this.id = network.id
        this.network = network
        hub.skies.settle(network.id, access, this.index)
        network.start()
        return network
      },
    }
    const init = {
      home: this.home,
      name: this.name,
      network: 'simulation',
      bootstrap: this.#world.bootstrap().filter((address) => address !== this.address),
      memory: device.memory,
      threads: 1,
      disk: GIB,
      logLevel: 'error',
    } as const
    const { peer } = await runPeer(init, undefined, needs)
    if (process.isDead) return
    this.peer = peer
    log.add('up', this.name, life)
  }

  /** Its process ends at once; the lock of its home is that of a process that is no more. */
  kill(silent: boolean): void {
    this.#world.log.add('killed', this.name, silent)
    this.process.kill()
    for (const host of this.hosts?.running ?? []) host.crash()
    this.network?.die(silent)
    this.peer = undefined
    unlinkIfThere(join(this.home, 'weft.pid'))
    this.#world.hub.changed(this.id)
  }

  /** SIGTERM: it drains, says goodbye and ends. */
  async leave(): Promise<void> {
    const { peer, process } = this
    if (peer === undefined) return
    this.#world.log.add('leaves', this.name)
    this.peer = undefined
    await peer.stop()
    if (process.isDead) return
    process.kill()
    this.network?.die(false)
    this.#world.hub.changed(this.id)
    this.#world.log.add('left', this.name)
  }

  freeze(): void {
    this.#world.log.add('frozen', this.name)
    this.process.freeze()
    this.#world.hub.changed(this.id)
  }

  thaw(): void {
    if (!this.process.isFrozen) return
    this.#world.log.add('thawed', this.name)
    this.thawedAt = this.#world.scheduler.now
    this.process.thaw()
    this.#world.hub.changed(this.id)
  }
}

function scaled({ layerMs, headMs }: Speed, by: number): Speed {
  return { layerMs: layerMs * by, headMs: headMs * by }
}

function machineOf({ speed, memory, boast = 1 }: Device): PeerNeeds['machine'] {
  return {
    cpu: 'simulated',
    cores: 1,
    memory: () => ({ total: 2 * memory, free: memory }),
    // What the trial of a real device gives for blocks of that speed: RUN_WORK of src/peer/profile-predict.ts over it.
    trial: async () => ({ speed: (boast * 1.9e9) / speed.layerMs, kernel: TOY_KERNEL, bandwidth: 1e10 }),
    system: '/sys/class',
    load: () => 0,
  }
}

/** The `PrivateKey` protobuf of libp2p, out of the seed. */
function identity(chance: Chance): Uint8Array {
  const seed = chance.bytes(32)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
  const open = createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(SPKI_BYTES)
  return Buffer.concat([PROTOBUF_HEAD, seed, open])
}
