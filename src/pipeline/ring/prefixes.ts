/**
 * Prefixes at the hops of a peer. The stage host has their KV rows; the boundary rows that the hop sent for them are kept
 * here, so that a replacement of the next hop can be fed a session from its first row, as ever. A hop has as much of a prefix as
 * both have.
 */
import { encodeControl, frame } from '../../net/index.ts'
import type { DType, Frame } from '../../net/index.ts'
import { HOST } from '../host/protocol.ts'
import type { CloseControl, OpenControl } from '../host/protocol.ts'
import { prefixKeys, RUN_ROWS } from '../prefix/names.ts'
import { PageStore } from '../prefix/page-store.ts'
import type { Hop } from './hop.ts'
import type { RouteOpen } from './protocol.ts'
import { sha256 } from './statement.ts'

/** Some 3,600 runs of a width of 576 in float16; their KV rows are forty times as large. */
const KEPT_BYTES = 64 << 20

interface KeptRun {
  readonly payload: Uint8Array
  readonly wire: DType
}

export interface HopPrefix {
  readonly scope: string
  /** As the origin has sent them. */
  readonly names: Uint8Array
  readonly keys: string[]
  /** Runs that are kept, or were found. */
  kept: number
  found: readonly KeptRun[]
}

/**
 * Undefined: its text is not named. Rows are those of one origin, over one chain of stages: what another peer computed of
 * the same text may have other bits, or be wrong.
 */
export function prefixOf(
  origin: string,
  place: number,
  { digest, route, prefix, audited }: RouteOpen,
): HopPrefix | undefined {
  // What is signed row by row must have come row by row.
  if (prefix === undefined || audited === true) return undefined
  const scope = Buffer.from(sha256(Buffer.from(JSON.stringify([origin, digest, chain(route, place)])))).toString(
    'base64',
  )
  return { scope, names: prefix, keys: prefixKeys(scope, prefix), kept: 0, found: [] }
}

/** The stages that rows of a hop have been through. */
function chain(route: RouteOpen['route'], place: number): readonly unknown[] {
  return route.slice(0, place + 1).map(({ peer, from, to }) => [peer, from, to])
}

export class HopPrefixes {
  readonly #runs = new PageStore<KeptRun>()

  /** What the host is asked for. */
  wanted({ prefix, next }: Hop): OpenControl['prefix'] {
    if (prefix === undefined) return undefined
    if (next !== undefined) prefix.found = this.#runs.find(prefix.keys)
    const runs = next === undefined ? prefix.keys.length : prefix.found.length
    // All names in any case: the host keeps what it computes of them.
    return { scope: prefix.scope, names: prefix.names, most: runs }
  }

  /** The host has so many rows of it. */
  opened(hop: Hop, rows: number): void {
    const { prefix, kept } = hop
    if (prefix === undefined) return
    const runs = rows / RUN_ROWS
    for (const [run, { payload, wire }] of prefix.found.slice(0, runs).entries()) {
      hop.wire = wire
      kept.add({ position: run * RUN_ROWS, count: RUN_ROWS, payload })
    }
    prefix.kept = runs
    prefix.found = []
    hop.taken = hop.given = rows
  }

  /** Keeps the runs whose rows have all been sent. */
  keep({ prefix, kept, wire, next }: Hop): void {
    if (prefix === undefined || wire === undefined || next === undefined) return
    while (prefix.kept < prefix.keys.length && (prefix.kept + 1) * RUN_ROWS <= kept.end) {
      const run = prefix.kept++
      const payload = kept.peek(run * RUN_ROWS, RUN_ROWS)
      if (payload === undefined) return
      this.#runs.shrink(KEPT_BYTES - payload.length)
      this.#runs.add(prefix.keys[run]!, prefix.keys[run - 1], { payload, wire }, payload.length)
    }
  }

  /** The session ends. @param names of the runs behind those that are known @returns what the host is told */
  ended(hop: Hop, names: Uint8Array | undefined): Frame {
    const close = { type: HOST.close, request: hop.local }
    if (hop.prefix === undefined || names === undefined || names.length === 0) return frame(close)
    hop.prefix.keys.push(...prefixKeys(hop.prefix.scope, names))
    this.keep(hop)
    const control: CloseControl = { names }
    return frame({ ...close, control: encodeControl(control) })
  }

  /** Rows come over other stages now. Returns what the host is told. */
  apart(hop: Hop, before: RouteOpen['route'], place: number): Frame | undefined {
    if (hop.prefix === undefined) return undefined
    const isSame = JSON.stringify(chain(before, place)) === JSON.stringify(chain(hop.route, hop.place))
    if (isSame) return undefined
    hop.prefix = undefined
    return frame({ type: HOST.apart, request: hop.local })
  }
}
