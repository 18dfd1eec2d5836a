/** Multiaddrs as weft uses them: TCP over an IP address or a name, with or without the id of the peer behind it. */
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { MAX_ADDRESS_LENGTH } from './constants.ts'

const SHAPE = /^\/(ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d{1,5}(\/p2p\/[1-9A-HJ-NP-Za-km-z]{40,60})?$/

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
    const peer = parsed.getComponents().findLast((part) => part.code === CODE_P2P)?.value ?? null
    return { multiaddr: parsed, plain: text.replace(/\/p2p\/.*$/, ''), peer }
  } catch {
    return undefined
  }
}

export function withPeer(plain: string, peer: string): string {
  return `${plain}/p2p/${peer}`
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
