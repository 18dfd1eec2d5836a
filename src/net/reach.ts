/** Reaching peers that cannot be dialled: relays and their circuits, places at them, and the better way once there is one. */
import type { Connection, Libp2p, Upgrader } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { Admission } from './admission.ts'
import { isCircuit, withPeer } from './addresses.ts'
import { createCircuits } from './circuits.ts'
import type { Circuits } from './circuits.ts'
import { CIRCUIT_PROTOCOL, KNOCK_PROTOCOL } from './circuit-wire.ts'
import { DIAL_WAIT_MS, HELLO_WAIT_MS, GUEST_LIMITS, MEMBER_LIMITS, PATH_TIMES } from './constants.ts'
import type { RelayLimits } from './constants.ts'
import type { Reacher } from './dial.ts'
import { PeerUnreachableError, removedError } from './discovery-errors.ts'
import { NetworkStoppedError } from './errors.ts'
import type { Dialler } from './dialler.ts'
import { dialAddresses, remoteAddress } from './link-view.ts'
import type { Link, Links } from './links.ts'
import type { NetworkInit } from './network-init.ts'
import type { DialFrom } from './libp2p-node.ts'
import { createPathKeeper } from './path-keeper.ts'
import { createPunch, PUNCH_PROTOCOL, SEEN_PROTOCOL } from './punch.ts'
import { createReachability, DIAL_BACK_PROTOCOL } from './reachability.ts'
import { createRelayServer, RELAY_PROTOCOL, RELAY_PURPOSE } from './relay-server.ts'
import type { Refuser } from './refuser.ts'
import { createReservations } from './reservations.ts'
import type { Serving } from './serving.ts'
import type { InterfaceChoice, ReachView } from './types.ts'
import type { Vitals } from './vitals.ts'

interface ReachNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly admission: Admission
  readonly links: Links
  readonly serving: Serving
  readonly vitals: Vitals
  readonly refuser: Refuser
  readonly self: string
  stopping(): boolean
  libp2p(): Libp2p
  upgrader(): Upgrader
  from(): DialFrom
  reacher(): Reacher
  dialler(): Dialler
  interfaces(): readonly InterfaceChoice[]
  /** The ways to this peer, or what is known of them, have changed. */
  changed(): void
}

export interface Reach {
  readonly circuits: Circuits
  /** The connection to a peer; it is dialled, or reached through a relay, if there is none. @throws PeerUnreachableError */
  link(peer: string, signal?: AbortSignal): Promise<Link>
  start(): void
  joined(link: Link): void
  left(link: Link): void
  /** The addresses of this machine have changed. */
  moved(): void
  /** The membership has changed. */
  review(): void
  isTrial(connection: Connection): boolean
  /** It was met at an address where nobody can dial it again. */
  isPunched(link: Link): boolean
  view(): ReachView
  stop(): void
}

export function createReach(needs: ReachNeeds, init: NetworkInit): Reach {
  const { clock, links, serving, vitals, admission } = needs
  const open = (link: Link, protocol: string): ReturnType<Serving['open']> => serving.open(link, protocol, undefined)
  const addressesOf = (link: Link): readonly string[] => dialAddresses(link, needs.interfaces()).filter(isDirect)
  const addressOf = (link: Link): string => addressesOf(link)[0] ?? remoteAddress(link)
  const server = createRelayServer({ ...needs, membership: init.membership, limits: limitsOf(init) })
  const circuits = createCircuits({
    ...needs,
    server,
    addressOf,
    admits: (peer, newcomer) =>
      !admission.isDenied(peer) && init.membership.admits(peer, newcomer ? 'enrol' : 'connect'),
    turnedAway: (peer, address) => {
      if (!init.membership.isRemoved(peer)) return
      if (!init.membership.isRemoved(needs.self)) needs.telemetry?.count('members_refused')
      needs.refuser.refuse(peer, address, removedError(init.membership, needs.self, peer))
    },
    dialRelay: async (peer, addresses, signal) => {
      const ways = addresses.map((address) => withPeer(address, peer))
      await needs.reacher().dialDirect(ways, peer, signal)
      return links.direct(peer)
    },
  })
  const reachability = createReachability({
    ...needs,
    open,
    listens: () => init.listen !== null,
    announced: (link) => (link.outcome?.about.addresses ?? []).filter(isDirect),
    changed: () => reservations.review(),
  })
  const reservations = createReservations({
    ...needs,
    open,
    addressesOf,
    wanted: () => reachability.state() === 'private',
    outside: (link) => reachability.outside(link),
  })
  const times = { ...PATH_TIMES, ...init.pathTimes }
  const punch = createPunch({ ...needs, addressOf })
  const known = (peer: string): readonly string[] => needs.dialler().addressesOf(peer)
  const paths = createPathKeeper({
    ...needs,
    times,
    answers: (link, wait) => {
      const late = new Promise<boolean>((resolve) => clock.after(wait, () => resolve(false)))
      return Promise.race([vitals.answers(link), late])
    },
    mayRelay: (peer) => circuits.mayReach(peer),
    relay: async (peer) => {
      const hints = known(peer).filter(isCircuit)
      return (await circuits.reach(peer, hints, AbortSignal.timeout(DIAL_WAIT_MS))).joined
    },
    dial: async (peer) => {
      const direct = known(peer).filter(isDirect)
      const addresses = direct.map((address) => withPeer(address, peer))
      const dialled = needs.reacher().dialDirect(addresses, peer, AbortSignal.timeout(DIAL_WAIT_MS))
      if (await Promise.race([dialled, clock.sleep(times.punch).then(() => false)])) return true
      const isMet = !needs.stopping() && (await punch.through(peer, AbortSignal.timeout(DIAL_WAIT_MS)))
      return isMet || (await dialled)
    },
    quietFor: (link) => serving.quietFor(link),
  })
  return {
    circuits,
    async link(peer, signal) {
      signal?.throwIfAborted()
      if (needs.stopping()) throw new NetworkStoppedError()
      const link = links.primary(peer)
      if (link !== undefined) return link
      if (peer === needs.self) throw new PeerUnreachableError(peer, 'it is this peer itself')
      const addresses = known(peer).map((address) => withPeer(address, peer))
      if (addresses.length === 0 && !circuits.mayReach(peer))
        throw new PeerUnreachableError(peer, 'no address of it is known')
      const deadline = AbortSignal.timeout(HELLO_WAIT_MS)
      const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
      await needs.reacher().dial(addresses, peer, undefined, either)
      signal?.throwIfAborted()
      const reached = links.primary(peer)
      if (reached !== undefined) return reached
      throw new PeerUnreachableError(peer, needs.refuser.book.list().find((one) => one.id === peer)?.why)
    },
    start() {
      serving.handle(RELAY_PROTOCOL, RELAY_PURPOSE, (channel, link) => server.reserve(channel, link))
      serving.handle(DIAL_BACK_PROTOCOL, 'connect', (channel, link) => reachability.serve(channel, link))
      serving.handleStreams(CIRCUIT_PROTOCOL, 'connect', (stream, link) => void circuits.serve(stream, link))
      if (init.cluster !== undefined)
        serving.handleStreams(KNOCK_PROTOCOL, 'knock', (stream, link) => void circuits.knocked(stream, link), 'asks')
      serving.handleStreams(PUNCH_PROTOCOL, 'connect', (stream, link) => void punch.serve(stream, link))
      serving.handleStreams(SEEN_PROTOCOL, 'connect', (stream, link) => void punch.seen(stream, link), 'asks')
      paths.start()
    },
    joined(link) {
      paths.joined(link)
      reachability.joined(link)
      reservations.review()
    },
    left(link) {
      paths.left(link)
      reachability.left(link)
    },
    moved() {
      paths.moved()
      reachability.forget()
    },
    isTrial: (connection) => reachability.isTrial(connection) || punch.isTrial(connection),
    isPunched: (link) => punch.isPunched(link),
    view: () => ({
      reachability: reachability.state(),
      circuits: reservations.circuits().map((address) => withPeer(address, needs.self)),
      relaying: { reservations: server.reservations, circuits: server.circuits },
    }),
    review: () => server.review(),
    stop() {
      paths.stop()
      reservations.stop()
      server.stop()
    },
  }
}

function limitsOf(init: NetworkInit): RelayLimits | undefined {
  if (init.relay === 'off') return undefined
  const limits = init.networkKey === undefined ? GUEST_LIMITS : MEMBER_LIMITS
  return { ...limits, ...init.relayLimits }
}

function isDirect(address: string): boolean {
  return !isCircuit(address)
}
