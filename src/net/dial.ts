/** One attempt to reach a peer: dial, wait for its greeting, and note why it did not work. */
import type { Connection, Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../util/index.ts'
import { isCircuit, parseAddress } from './addresses.ts'
import type { Circuits } from './circuits.ts'
import { DIAL_WAIT_MS } from './constants.ts'
import type { DialOutcome, Retry } from './dialler.ts'
import { OtherPeerError, PeerUnreachableError } from './discovery-errors.ts'
import type { Links } from './links.ts'
import type { HandshakeNote } from './noise.ts'

/** Handshakes whose failure is remembered while their dial ends. */
const MAX_NOTES = 256
/** A copied identity that was announced is looked at this often. */
const COPY_EVERY_MS = 30_000

interface Attempt extends DialOutcome {
  /** Why there is no connection; none when there was one, and its greeting did not end in joining. */
  readonly error?: Error
}

interface ReacherNeeds {
  readonly clock: Clock
  readonly self: string
  readonly links: Links
  libp2p(): Libp2p
  circuits(): Circuits
  /** Where others dial this peer, without its id. */
  listening(): readonly string[]
  /** Milliseconds that the direct addresses are tried alone. */
  readonly headStart: number
  refuse(peer: string | null, address: string | null, error: Error): void
}

export interface Reacher {
  /**
   * By its addresses, and a little later, or when these fail, through relays beside them. Never rejects; what went
   * wrong is noted with `refuse`.
   */
  dial(addresses: readonly string[], peer: string | null, retry?: Retry, signal?: AbortSignal): Promise<DialOutcome>
  /** Another connection by these addresses, also to a peer that has one; whether it joined. Failing is not noted. */
  dialDirect(addresses: readonly string[], peer: string, signal: AbortSignal): Promise<boolean>
  /** A person has named this address: whoever answers there is approved. */
  chosen(address: string): void
  isChosen(connection: Connection): boolean
  /** Why a handshake failed, from the encrypter. */
  noted(note: HandshakeNote): void
  /** Somebody announces our own id: a handshake shows whether it is true. */
  verifyCopy(addresses: readonly string[]): void
}

export function createReacher(needs: ReacherNeeds): Reacher {
  const { clock } = needs
  const chosen = new Set<string>()
  /** By address without peer id. */
  const notes = new Map<string, { readonly at: number; readonly failure: HandshakeNote['failure'] }>()
  let copySeen = -Infinity
  const noteSince = (addresses: readonly string[], start: number): HandshakeNote['failure'] | undefined => {
    for (const address of addresses) {
      const note = notes.get(plain(address))
      if (note !== undefined && note.at >= start) return note.failure
    }
    return undefined
  }
  const failed = (
    addresses: readonly string[],
    peer: string | null,
    start: number,
    error: Error,
    retry?: Retry,
  ): void => {
    // it has come in by another way meanwhile
    if (peer !== null && needs.links.primary(peer) !== undefined) return
    const note = noteSince(addresses, start)
    const address = addresses.length === 0 ? null : plain(addresses[0]!)
    if (note === 'other-peer') needs.refuse(peer, address, new OtherPeerError(peer ?? address ?? 'a peer'))
    else if (note === undefined)
      needs.refuse(peer, address, new PeerUnreachableError(peer ?? address ?? 'a peer', tell(addresses, error, retry)))
  }
  const connect = async (
    addresses: readonly string[],
    peer: string | null,
    signal?: AbortSignal,
    force = false,
  ): Promise<Attempt> => {
    // where this peer listens itself no other one is: the loopback of another machine, told with the same port
    const own = needs.listening()
    const others = addresses.filter((address) => peer === null || !own.includes(plain(address)))
    if (others.length === 0) return { joined: false, peer, error: new Error('no address of it can be dialled') }
    const deadline = AbortSignal.timeout(DIAL_WAIT_MS)
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    try {
      const ways = others.map((address) => multiaddr(address))
      const connection = await needs.libp2p().dial(ways, { signal: either, force })
      const settled = needs.links.link(connection)?.settled ?? Promise.resolve(false)
      // a greeting that waits for a person has no end of its own
      const joined = await (signal === undefined ? settled : Promise.race([settled, aborted(signal)]))
      return { joined, peer: connection.remotePeer.toString() }
    } catch (error) {
      return { joined: false, peer, error: error as Error }
    }
  }
  const relayed = async (
    straight: Promise<Attempt>,
    peer: string | null,
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<Attempt> => {
    const pause = clock.sleep(needs.headStart, signal).catch(() => undefined)
    const early = await Promise.race([straight, pause.then(() => undefined)])
    const answered = early !== undefined && early.error === undefined
    // a connection that waits for its greeting, or for a person, is not to have a second one beside it
    if (peer === null || signal.aborted || answered || needs.links.of(peer).length > 0) return { joined: false, peer }
    if (hints.length === 0 && !needs.circuits().mayReach(peer)) return { joined: false, peer }
    const { joined, why } = await needs
      .circuits()
      .reach(peer, hints, AbortSignal.any([signal, AbortSignal.timeout(DIAL_WAIT_MS)]))
    return joined ? { joined, peer } : { joined, peer, error: new Error(why) }
  }
  return {
    async dial(addresses, peer, retry, signal) {
      const start = clock.now()
      const [direct, circuits] = [addresses.filter((one) => !isCircuit(one)), addresses.filter(isCircuit)]
      const done = new AbortController()
      const signals = [done.signal, ...(signal === undefined ? [] : [signal])]
      const straight = connect(direct, peer, signal)
      const around = relayed(straight, peer, circuits, AbortSignal.any(signals))
      const won = await firstJoined<Attempt>([straight, around])
      done.abort()
      if (won !== undefined) return { joined: true, peer: won.peer }
      const [{ error, peer: met }, { error: detour }] = await Promise.all([straight, around])
      if (error === undefined) return { joined: false, peer: met }
      const why = detour === undefined ? error : new AggregateError([...causesOf(error), detour])
      if (signal?.aborted !== true) failed(addresses, peer, start, why, retry)
      return { joined: false, peer }
    },
    async dialDirect(addresses, peer, signal) {
      return (await connect(addresses, peer, signal, true)).joined
    },
    chosen: (address) => void chosen.add(address),
    isChosen: ({ direction, remoteAddr }) => direction === 'outbound' && chosen.has(plain(remoteAddr.toString())),
    noted(note) {
      if (note.direction !== 'outbound' || note.address === null) return
      notes.set(plain(note.address), { at: clock.now(), failure: note.failure })
      if (notes.size > MAX_NOTES) notes.delete(notes.keys().next().value!)
    },
    verifyCopy(addresses) {
      const [address] = addresses
      if (address === undefined || clock.now() - copySeen < COPY_EVERY_MS) return
      copySeen = clock.now()
      // it always fails: either the handshake shows our own id, which is noted, or somebody announced what is not true
      needs
        .libp2p()
        .dial(multiaddr(address), { signal: AbortSignal.timeout(DIAL_WAIT_MS) })
        .catch(() => undefined)
    },
  }
}

/** The first that joined, as soon as it has; undefined when all are over and none did. */
function firstJoined<Outcome extends DialOutcome>(attempts: readonly Promise<Outcome>[]): Promise<Outcome | undefined> {
  const { promise, resolve } = Promise.withResolvers<Outcome | undefined>()
  for (const attempt of attempts)
    void attempt.then((outcome) => {
      if (outcome.joined) resolve(outcome)
    })
  void Promise.all(attempts).then(() => resolve(undefined))
  return promise
}

function causesOf(error: Error): readonly Error[] {
  return error instanceof AggregateError ? (error.errors as Error[]) : [error]
}

function aborted(signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }))
}

function plain(address: string): string {
  return parseAddress(address)?.plain ?? address
}

function reasonOf(cause: Error): string {
  return cause.name === 'AbortError' || cause.name === 'TimeoutError' ? 'no answer' : cause.message.slice(0, 120)
}

function tell(addresses: readonly string[], error: Error, retry?: Retry): string {
  const reasons = [...new Set(causesOf(error).map(reasonOf))].slice(-2).join('; ')
  const where = addresses.map(plain).slice(0, 4).join(', ')
  const times = retry === undefined ? '' : retry.attempt === 1 ? ' once' : ` ${retry.attempt} times`
  // Where nothing could be tried, the reasons say why.
  const tried = where === '' ? reasons : `tried ${where}${times}: ${reasons}`
  return retry === undefined ? tried : `${tried}; next try in ${Math.ceil(retry.next / 1000)} s`
}
