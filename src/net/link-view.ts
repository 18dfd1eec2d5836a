/** A joined connection as the other rooms see it: the peer, and where it can be dialled. */
import { isCircuit, isLoopback, plainAddresses, withoutPeer } from './addresses.ts'
import { CROSSED_MS, MAX_ADDRESSES } from './constants.ts'
import type { LinkQuality } from './link-quality.ts'
import type { Link } from './links.ts'
import type { ConnectedPeer, InterfaceChoice } from './types.ts'

/** Of the other end, without its id; the port is one that can be dialled on outbound connections only. */
export function remoteAddress(link: Link): string {
  return withoutPeer(link.connection.remoteAddr.toString())
}

/** What reached it, and what it says of itself; its loopback only where it is on this machine. */
export function dialAddresses(link: Link, interfaces: readonly InterfaceChoice[]): readonly string[] {
  const reached = remoteAddress(link)
  const near = isLoopback(`${reached}/`) || interfaces.some((one) => reached.includes(`/${one.address}/`))
  const said = plainAddresses(link.outcome?.about.addresses ?? []).filter((one) => near || !isLoopback(one))
  return [...new Set(link.connection.direction === 'outbound' ? [reached, ...said] : said)].slice(0, MAX_ADDRESSES)
}

/** Its frames go through a third peer. */
export function isRelayed(link: Link): boolean {
  return isCircuit(link.connection.remoteAddr.toString())
}

export function describeLink(
  link: Link,
  interfaces: readonly InterfaceChoice[],
  { rtt, jitter, loss, ahead }: LinkQuality,
): ConnectedPeer {
  const { about, protocol } = link.outcome!
  const addresses = dialAddresses(link, interfaces)
  return {
    id: link.peer,
    addresses: addresses.length > 0 ? addresses : [remoteAddress(link)],
    rtt,
    jitter,
    loss,
    ahead,
    relayed: isRelayed(link),
    version: about.software,
    name: about.name,
    direction: link.connection.direction,
    protocol,
  }
}

/** Of several connections of one peer the newest; of those that crossed, the one that both sides choose. */
export function choose(links: readonly Link[]): Link | undefined {
  const newest = Math.max(...links.map((link) => link.openedAt))
  const crossed = links.filter((link) => newest - link.openedAt < CROSSED_MS)
  return crossed.toSorted((a, b) => (transcriptOf(a) < transcriptOf(b) ? -1 : 1))[0]
}

function transcriptOf(link: Link): string {
  return link.outcome?.transcript ?? ''
}
