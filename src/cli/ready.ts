/** What `weft up` says once the peer is really ready. */
import type { PeerStatus } from '../peer/index.ts'
import { formatBytes, plural, shortId } from './format.ts'
import type { Output } from './output.ts'
import { printable, wrap } from './text.ts'

export interface ReadyDocument {
  readonly schema: 'weft.ready/1'
  readonly peer: string
  readonly addresses: readonly string[]
  readonly http: string | null
  readonly home: string
  readonly pid: number
}

export function readyDocument(status: PeerStatus): ReadyDocument {
  const { id, addresses, http, home, pid } = status.peer
  return { schema: 'weft.ready/1', peer: id, addresses, http, home, pid }
}

export function readyLines(status: PeerStatus, out: Output): string[] {
  const { peer } = status
  const { profile } = peer
  const cores = plural(profile.cores, 'core')
  const lines = [
    `weft ${peer.version} · peer ${out.paint('bold', printable(peer.name))} (${shortId(peer.id)}) · ${cores}, ${formatBytes(profile.memory_free)} free`,
    whoMayJoin(status),
  ]
  const more = peer.addresses.length > 1 ? `  and ${peer.addresses.length - 1} more` : ''
  lines.push(`at   ${printable(peer.addresses[0] ?? 'no address')}${more}`)
  lines.push(
    peer.http === null ? 'API  off' : `API  ${peer.http}/v1   (key: weft key create)     Dashboard ${peer.http}/`,
  )
  lines.push('Next: weft run smollm2:135m "hello"')
  return lines
}

function whoMayJoin({ peer, cluster }: PeerStatus): string {
  if (cluster === undefined || cluster === null) return `network "${printable(peer.network)}", ${LAN_TEXT[peer.lan]}`
  const looking = peer.lan === 'off' ? `; ${LAN_TEXT.off}` : ''
  return `private cluster "${printable(cluster.name)}", for its members alone (weft cluster show)${looking}`
}

const LAN_TEXT = {
  open: 'open to peers on this LAN',
  confirm: 'newcomers on this LAN wait for weft peers approve',
  off: 'this LAN is not searched',
} as const

/** Shown at the first start of a home in an open mesh. */
export function openMeshNotice(): string[] {
  return wrap(
    'This mesh is open: others on this network may be asked to compute for you, and you for them, within limits. ' +
      'Do not use it for data that must stay here. --lan confirm, --lan off or a network key close it.',
  )
}
