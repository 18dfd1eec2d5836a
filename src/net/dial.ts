/** One attempt to reach a peer: dial, wait for its greeting, and note why it did not work. */
import type { Connection, Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../util/index.ts'
import { parseAddress } from './addresses.ts'
import { DIAL_WAIT_MS } from './constants.ts'
import type { DialOutcome, Retry } from './dialler.ts'
import { OtherPeerError, PeerUnreachableError } from './discovery-errors.ts'
import type { Links } from './links.ts'
import type { HandshakeNote } from './noise.ts'

/** Handshakes whose failure is remembered while their dial ends. */
const MAX_NOTES = 256
/** A copied identity that was announced is looked at this often. */
const COPY_EVERY_MS = 30_000

interface ReacherNeeds {
  readonly clock: Clock
  readonly self: string
  readonly links: Links
  libp2p(): Libp2p
  refuse(peer: string | null, address: string | null, error: Error): void
}

export interface Reacher {
  /** Never rejects; what went wrong is noted with `refuse`. */
  dial(addresses: readonly string[], peer: string | null, retry?: Retry, signal?: AbortSignal): Promise<DialOutcome>
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
    const note = noteSince(addresses, start)
    const address = addresses.length === 0 ? null : plain(addresses[0]!)
    if (note === 'other-peer') needs.refuse(peer, address, new OtherPeerError(peer ?? address ?? 'a peer'))
    else if (note === undefined)
      needs.refuse(peer, address, new PeerUnreachableError(peer ?? address ?? 'a peer', tell(addresses, error, retry)))
  }
  return {
    async dial(addresses, peer, retry, signal) {
      const start = clock.now()
      const deadline = AbortSignal.timeout(DIAL_WAIT_MS)
      const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
      try {
        const connection = await needs.libp2p().dial(
          addresses.map((address) => multiaddr(address)),
          { signal: either },
        )
        const settled = needs.links.link(connection)?.settled ?? Promise.resolve(false)
        // a greeting that waits for a person has no end of its own
        const joined = await (signal === undefined ? settled : Promise.race([settled, aborted(signal)]))
        return { joined, peer: connection.remotePeer.toString() }
      } catch (error) {
        if (signal?.aborted !== true) failed(addresses, peer, start, error as Error, retry)
        return { joined: false, peer }
      }
    },
    chosen: (address) => void chosen.add(address),
    isChosen: (connection) => chosen.has(plain(connection.remoteAddr.toString())),
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
  const causes = error instanceof AggregateError ? (error.errors as Error[]) : [error]
  const reasons = [...new Set(causes.map(reasonOf))].slice(0, 2).join('; ')
  const where = addresses.map(plain).slice(0, 4).join(', ')
  if (retry === undefined) return `tried ${where}: ${reasons}`
  const times = retry.attempt === 1 ? 'once' : `${retry.attempt} times`
  return `tried ${where} ${times}: ${reasons}; next try in ${Math.ceil(retry.next / 1000)} s`
}
