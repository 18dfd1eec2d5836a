/** All simulated networks of a run: who is where, who is connected to whom, and what frames go through on their way. */
import { RING_PROTOCOL } from '../../../src/pipeline/ring/protocol.ts'
import type { Frame } from '../../../src/net/index.ts'
import type { Chance } from '../random.ts'
import type { Scheduler } from '../scheduler.ts'
import type { SimulatedChannel } from './channel.ts'
import { Link } from './link.ts'
import type { SimulatedNetwork } from './network.ts'
import { Pipe } from './pipe.ts'
import { Skies } from './weather.ts'
import type { Between } from './weather.ts'

/** Records go by reference: a thousand peers keep each other's, and they are never changed. */
const SHARED_PROTOCOL = '/weft/mesh/1'

/** Looks at each frame on its way, and says what arrives in its place. */
export type Tamper = (frame: Frame, channel: SimulatedChannel, from: string) => readonly Frame[]

export class Hub {
  readonly scheduler: Scheduler
  readonly skies: Skies
  readonly #nodes = new Map<string, SimulatedNetwork>()
  readonly #byAddress = new Map<string, SimulatedNetwork>()
  readonly #links = new Map<string, Set<Link>>()
  tamper: Tamper | undefined
  frames = 0

  /** @param between default: the accesses of both */
  constructor(scheduler: Scheduler, chance: Chance, between?: Between) {
    this.scheduler = scheduler
    this.skies = new Skies(chance, () => this.#lookAtAll(), between)
  }

  add(node: SimulatedNetwork): void {
    this.#nodes.set(node.id, node)
    this.#byAddress.set(node.address, node)
    // Who still thinks of the one before as connected is answered by a reset.
    for (const link of this.#linksTo(node.id)) if (!link.other.isOpen) link.look()
  }

  remove(node: SimulatedNetwork): void {
    if (this.#nodes.get(node.id) !== node) return
    this.#nodes.delete(node.id)
    this.#byAddress.delete(node.address)
  }

  has(peer: string): boolean {
    return this.#nodes.has(peer)
  }

  at(address: string): SimulatedNetwork | undefined {
    return this.#byAddress.get(address)
  }

  nodes(): readonly SimulatedNetwork[] {
    return [...this.#nodes.values()]
  }

  /** Joins two peers that have greeted each other. */
  join(dialler: SimulatedNetwork, listener: SimulatedNetwork): void {
    const near = new Link(this, dialler, listener.id, 'outbound')
    const far = new Link(this, listener, dialler.id, 'inbound')
    for (const [link, other] of [
      [near, far],
      [far, near],
    ] as const) {
      link.other = other
      const ends = { from: link.node.id, to: other.node.id, process: other.node.process }
      link.out = new Pipe(this.scheduler, this.skies, ends)
      const all = this.#links.get(link.node.id) ?? new Set()
      this.#links.set(link.node.id, all.add(link))
    }
    dialler.joined(near)
    listener.process.run(() => listener.joined(far))
  }

  linkEnded(link: Link): void {
    this.#links.get(link.node.id)?.delete(link)
    link.other.look()
  }

  /** The way, or a process, has changed. */
  changed(peer: string): void {
    for (const link of this.#links.get(peer) ?? []) {
      link.look()
      link.other.look()
    }
  }

  onItsWay(frame: Frame, channel: SimulatedChannel): readonly Frame[] {
    this.frames++
    const copy = channel.protocol === SHARED_PROTOCOL ? frame : copied(frame)
    if (this.tamper === undefined || channel.protocol !== RING_PROTOCOL) return [copy]
    return this.tamper(copy, channel, channel.other!.remote)
  }

  #linksTo(peer: string): Link[] {
    return [...this.#links.values()].flatMap((links) => [...links].filter((link) => link.peer === peer))
  }

  #lookAtAll(): void {
    for (const links of this.#links.values()) {
      for (const link of links) {
        link.look()
        link.out.flush()
      }
    }
  }
}

function copied(frame: Frame): Frame {
  return { ...frame, payload: frame.payload.slice(), control: frame.control.slice(), digest: frame.digest.slice() }
}
