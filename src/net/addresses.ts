/**
 * Multiaddrs as weft uses them: TCP over an IP address or a name, with or without the id of the peer behind it; and
 * circuits, which lead to a peer through another one: `/ip4/../tcp/../p2p/RELAY/p2p-circuit`.
 */
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { MAX_ADDRESS_LENGTH } from './constants.ts'

const CIRCUIT = '/p2p-circuit'
const ID = String.raw`\/p2p\/[1-9A-HJ-NP-Za-km-z]{40,60}`
const SHAPE = new RegExp(String.raw`^\/(ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d{1,5}(${ID}\/p2p-circuit)?(${ID})?$`)

export interface DialAddress {
  readonly multiaddr: Multiaddr
  /** Without the peer id. */
  readonly plain: string
  readonly peer: string | null
}

/** Undefined for text that weft does not dial: hostile text is answered with no, not with an exception. */
export function parseAddress(text: string): DialAddress | undefined {
  if (text.length > MAX_ADDRESS_LENGTH || !SHAPE.test(text)) return undefined
  try {
    const parsed = multiaddr(text)
    const last = parsed.getComponents().at(-1)
    return { multiaddr: parsed, plain: withoutPeer(text), peer: last?.code === CODE_P2P ? (last.value ?? null) : null }
  } catch {
    return undefined
  }
}

export function withPeer(plain: string, peer: string): string {
  return `${plain}/p2p/${peer}`
}

/** Without the id of the peer that it leads to; a circuit keeps its relay's. */
export function withoutPeer(address: string): string {
  const circuit = address.indexOf(CIRCUIT)
  return circuit < 0 ? address.replace(/\/p2p\/.*$/, '') : address.slice(0, circuit + CIRCUIT.length)
}

export function isCircuit(address: string): boolean {
  return address.includes(CIRCUIT)
}

/** The relay of a circuit: its id, and where it is dialled. */
export function relayOf(circuit: string): { readonly peer: string; readonly address: string } | undefined {
  const relay = parseAddress(circuit.slice(0, circuit.indexOf(CIRCUIT)))
  return relay === undefined || relay.peer === null ? undefined : { peer: relay.peer, address: relay.plain }
}

/** The way to a peer through a relay that is dialled at `address`, without the id of that peer. */
export function circuitThrough(address: string, relay: string): string {
  return `${withPeer(address, relay)}${CIRCUIT}`
}

/** Only this machine can use it. */
export function isLoopback(address: string): boolean {
  return /^\/ip4\/127\.|^\/ip6\/::1\/|^\/dns[46]?\/localhost\//.test(address)
}

export function isAnyAddress(address: string): boolean {
  return /^\/ip4\/0\.0\.0\.0\/|^\/ip6\/::\//.test(address)
}

export function portOf(address: string): number | undefined {
  const match = /\/tcp\/(\d+)/.exec(address)
  return match === null ? undefined : Number(match[1])
}

export function hostOf(address: string): string | undefined {
  return /^\/(?:ip4|ip6|dns[46]?)\/([^/]+)\//.exec(address)?.[1]
}

/** Those that weft dials, without the peer id. */
export function plainAddresses(addresses: readonly string[]): string[] {
  return addresses.map((one) => parseAddress(one)?.plain).filter((one) => one !== undefined)
}
