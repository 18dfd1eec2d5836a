/** A hop out of what its origin asks to open. */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { HOST } from '../host/protocol.ts'
import type { OpenControl } from '../host/protocol.ts'
import type { StageHost } from '../host/stage-host.ts'
import { Hop } from './hop.ts'
import { KeptRows } from './kept-rows.ts'
import type { Link } from './links.ts'
import { prefixOf } from './prefixes.ts'
import type { RouteOpen } from './protocol.ts'
import { RowCheck } from './row-check.ts'
import type { RowGate } from './row-check.ts'
import { Witness } from './witness.ts'

export interface StageTable {
  /** The host that serves these blocks, loading them first where the placement says so. @throws StageMissingError */
  host(digest: string, from: number, to: number): Promise<StageHost>
  /** Has the tokenizer of a model in the store, for answers that have a format. */
  text?(digest: string): Promise<void>
  /** File of an adapter, fetched from its origin where it is not here. */
  adapter?(adapter: NonNullable<RouteOpen['adapter']>, origin: string): Promise<string>
  /** Id of the kernels that compute a model here, once it is loaded. */
  kernel?(digest: string): string | undefined
}

export interface NewHopNeeds {
  readonly self: string
  /** What is known of rows that come, and who hears of bad ones. @default they are to be numbers, and nobody */
  readonly rows?: RowGate | undefined
  readonly stages: StageTable
  /** For kept rows that are too many for memory. */
  readonly directory: string
  /** By this peer's identity: what its stages say of rows in audited sessions. */
  sign(bytes: Uint8Array): Uint8Array
  count(name: string, by?: number): void
}

/** @param local number of the session in the host */
export function newHop(
  needs: NewHopNeeds,
  from: Link,
  message: Frame,
  open: RouteOpen,
  host: StageHost,
  local: number,
): Hop {
  const { self, rows: gate = {} } = needs
  const { from: first, to } = open.route[message.hop]!
  return new Hop({
    origin: from,
    digest: open.digest,
    request: message.request,
    attempt: message.attempt,
    place: message.hop,
    route: open.route,
    host,
    local,
    shadow: open.shadow,
    guessKey: open.guesses,
    prefix: prefixOf(from.peer, message.hop, open),
    check: new RowCheck({
      gate,
      self,
      origin: from.peer,
      digest: open.digest,
      from: first,
      to,
      isAdapted: open.adapter !== undefined,
      isAudited: open.audited === true,
    }),
    witness: open.audited === true ? witnessOf(needs, from.peer, message.hop, open) : undefined,
    kept: new KeptRows({
      directory: needs.directory,
      name: `${process.pid}-${local}`,
      spilled: (rows) => needs.count('rows_spilled', rows),
    }),
  })
}

function witnessOf(needs: NewHopNeeds, origin: string, place: number, { digest: model, route }: RouteOpen): Witness {
  const { from, to } = route[place]!
  const kernel = needs.stages.kernel?.(model) ?? ''
  return new Witness({ origin, model, from, to, kernel, sign: (bytes) => needs.sign(bytes) })
}

export interface ReadyHost {
  readonly host: StageHost
  /** File of the session's adapter. */
  readonly adapter: string | undefined
}

/** What a session needs here before it is opened. @throws what loading and fetching throw */
export async function prepareHost(
  stages: StageTable,
  open: RouteOpen,
  own: RouteOpen['route'][number],
  origin: string,
): Promise<ReadyHost> {
  if (open.sampler?.format !== undefined) await stages.text?.(open.digest)
  const host = await stages.host(open.digest, own.from, own.to)
  return { host, adapter: open.adapter && (await stages.adapter?.(open.adapter, origin)) }
}

/** To the host. */
export function openFrame(
  hop: Hop,
  open: RouteOpen,
  prefix: OpenControl['prefix'],
  adapter: string | undefined,
): Frame {
  const { positions, sampler } = open
  const more = {
    ...(prefix && { prefix }),
    ...(adapter !== undefined && { adapter }),
    ...(open.lane && { lane: open.lane }),
  }
  const control: OpenControl = { from: hop.from, to: hop.to, positions, sampler, ...more }
  return frame({ type: HOST.open, request: hop.local, control: encodeControl(control) })
}
