/** What it costs to hand rows from one peer to another. */
import type { PlanInput, PlanLink } from './types.ts'

/** What a hop costs beside the wire: measured from stage host to stage host on loopback. */
export const HOP_MS = 0.5
/** A wired LAN; for pairs that nobody has measured. */
const UNKNOWN_RTT_MS = 1
const UNKNOWN_BANDWIDTH = 100e6
/** A relay serves others too: 8 Mbit/s where nobody has measured. */
const RELAYED_BANDWIDTH = 1e6
/** Payload of a TCP segment on Ethernet: 1,500 bytes less headers and time stamps. */
const SEGMENT_BYTES = 1_448
/** A receiver may hold an acknowledgement back for so long (RFC 9000, section 18.2). */
const ACK_DELAY_MS = 25
/** Mathis, Semke, Mahdavi and Ott 1997: a stream gets about sqrt(3/2) segments a round trip over sqrt(loss). */
const MATHIS = Math.sqrt(1.5)

/** Milliseconds of a hop with n bytes: `fixed + n * perByte`. The sender's line is busy for `n * wirePerByte` of it. */
export interface Hop {
  readonly fixed: number
  readonly perByte: number
  readonly wirePerByte: number
  readonly measured: boolean
}

export interface Links {
  hop(from: string, to: string): Hop
}

const NONE: Hop = { fixed: 0, perByte: 0, wirePerByte: 0, measured: true }

export function linksOf({ links = [], hopMs = HOP_MS }: Pick<PlanInput, 'links' | 'hopMs'>): Links {
  const table = linkTable(links)
  const made = new Map<PlanLink, Hop>()
  const unknown = hopOf({ from: '', to: '', rtt: UNKNOWN_RTT_MS, bandwidth: 0 }, hopMs, false)
  return {
    hop: (from, to) => {
      if (from === to) return NONE
      const link = table.get(from)?.get(to) ?? table.get(to)?.get(from)
      if (link === undefined) return unknown
      const known = made.get(link)
      if (known !== undefined) return known
      const hop = hopOf(link, hopMs, true)
      made.set(link, hop)
      return hop
    },
  }
}

/**
 * Half a round trip, which is the usual one, so that jitter costs nothing but where something is lost; the bytes at the
 * bandwidth; and for each of its segments its chance to be lost times what a loss costs: the probe timeout of RFC 9002,
 * section 6.2.1 (a round trip, four times the jitter, the acknowledgement delay). A line that loses has no more bandwidth than
 * Mathis's formula gives.
 */
function hopOf(
  { rtt, bandwidth, jitter = 0, loss = 0, relayed = false }: PlanLink,
  hopMs: number,
  measured: boolean,
): Hop {
  const nominal = bandwidth > 0 ? bandwidth : relayed ? RELAYED_BANDWIDTH : UNKNOWN_BANDWIDTH
  const most = loss > 0 && rtt > 0 ? (MATHIS * SEGMENT_BYTES * 1000) / (rtt * Math.sqrt(loss)) : Infinity
  const wirePerByte = 1000 / Math.min(nominal, most)
  const penalty = loss * (rtt + 4 * jitter + ACK_DELAY_MS)
  return {
    fixed: hopMs + rtt / 2 + penalty,
    perByte: wirePerByte + penalty / SEGMENT_BYTES,
    wirePerByte,
    measured: measured && bandwidth > 0,
  }
}

/** Of several measurements of one direction the worst of each figure stands, so that the order of listing does not matter. */
function linkTable(links: readonly PlanLink[]): Map<string, Map<string, PlanLink>> {
  const table = new Map<string, Map<string, PlanLink>>()
  for (const link of links) {
    const row = table.get(link.from) ?? new Map<string, PlanLink>()
    table.set(link.from, row)
    const other = row.get(link.to)
    row.set(link.to, other === undefined ? link : worse(other, link))
  }
  return table
}

function worse(left: PlanLink, right: PlanLink): PlanLink {
  const known = [left.bandwidth, right.bandwidth].filter((bandwidth) => bandwidth > 0)
  return {
    from: left.from,
    to: left.to,
    rtt: Math.max(left.rtt, right.rtt),
    bandwidth: known.length === 0 ? 0 : Math.min(...known),
    jitter: Math.max(left.jitter ?? 0, right.jitter ?? 0),
    loss: Math.max(left.loss ?? 0, right.loss ?? 0),
    relayed: left.relayed === true || right.relayed === true,
  }
}
