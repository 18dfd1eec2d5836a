/** A generation's session as its origin uses it, whatever computes it. */
import type { Clock, RandomSource } from '../../util/index.ts'
import type { SamplerInit } from '../host/sampler.ts'
import type { NoRouteError } from '../ring/errors.ts'
import type { RingService } from '../ring/service.ts'
import type { PrefixNames } from '../prefix/names.ts'
import type { SessionAdapter } from '../session-adapter.ts'
import type { Lane, RouteHop, SpeculateMode, TokenLogprob } from '../types.ts'
import type { AuditNews, SessionAudit } from './audit-types.ts'
import type { Follow } from './follower.ts'
import type { RouteSegment } from './route.ts'
import type { DraftModel } from './speculation/drafting.ts'
import type { SpeculationCounter } from './speculation/speculation.ts'
import type { SessionTrace } from './trace.ts'
import { RoutedSession } from './routed-session.ts'

export interface TokenArrival {
  readonly id: number
  readonly logprob?: number
  readonly top?: readonly TokenLogprob[]
  /** Milliseconds that stages computed for this step, all hops together. */
  readonly computeMs: number
  /** Tokens of this step, all together. @default 1 */
  readonly together?: number
}

/** Stages were replaced: the answer goes on, a token is never given twice. */
export interface Rerouted {
  readonly attempt: number
  /** Peers whose stages were replaced; none: the same route, over new channels. */
  readonly lost: readonly string[]
  readonly route: readonly RouteHop[]
  /** Rows that replacements were fed again. */
  readonly replayedRows: number
  /** Replacements compute with the kernels of the lost: the same bits. */
  readonly exact: boolean
}

/** What the last hop says: a token, or that rows of the prompt up to a position were taken in. */
export type Arrival =
  | { readonly token: TokenArrival }
  | { readonly takenTo: number }
  | { readonly rerouted: Rerouted }
  /** A stage was found to lie, or nobody could show that it does not. */
  | { readonly audit: AuditNews }
  /** Nobody can take a lost stage now; the session waits for somebody. */
  | { readonly waiting: NoRouteError }

/** Rows of the prompt that are in the stages already. */
export interface Reused {
  /** The first hop needs rows from this one on. */
  readonly sent: number
  /** What the last hop has: it answers of rows from this one on. */
  readonly taken: number
  /** What all hops have: so many rows nobody has to compute. */
  readonly found: number
}

export interface OriginSession {
  readonly hops: readonly RouteHop[]
  /** Once it is open. @default none */
  readonly reused?: Reused
  /** The next thing to arrive. @throws what has ended the session */
  take(): Promise<Arrival>
  /**
   * Ids of the prompt for positions from `position` on; `wantToken`: the head chooses what follows the last of them, and
   * what follows that, as `Follow` says.
   */
  send(ids: readonly number[], position: number, wantToken: boolean): Promise<void>
  /** The text has ended: what is being checked is waited for. Returns what there is to tell still. */
  settle?(): Promise<readonly Arrival[]>
  /** A hop goes elsewhere while it serves: whoever `failover` names is fed beforehand, and nothing happens where nobody can. */
  leaving?(hop: number): void
  close(): void
}

/** Who takes the blocks of a peer that is lost in the middle of a session. */
export interface Failover {
  /**
   * Segments that make up the lost one, in order; undefined: nobody can now.
   * @param avoid peers to be asked last: they failed before
   */
  replace(
    lost: RouteSegment,
    avoid: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<readonly RouteSegment[] | undefined>
  /**
   * Segments in the place of one whose peer has no room for the session now; undefined: nobody else can take it.
   * @param full peers that have no room
   */
  relieve(refused: RouteSegment, full: ReadonlySet<string>): readonly RouteSegment[] | undefined
  /** A peer does not serve what was given to it, and says why. */
  refused?(segment: RouteSegment, error: Error): void
  isReachable(peer: string): boolean
  /** It has these blocks loaded. @default nobody knows */
  isReady?(peer: string, segment: RouteSegment): boolean
  /** Id of the kernels that a peer computes with; '' while it is not known. */
  kernel(peer: string): string
  /** Milliseconds for which a session without a route waits for one. @param isBegun something of its text has been computed */
  patience(isBegun: boolean): number
}

export interface SessionNeeds {
  readonly self: string
  readonly ring: RingService
  readonly clock: Clock
  readonly random: RandomSource
  /** Has a peer's heartbeat watched while the session lasts; returns how to end that. */
  watch(peer: string): () => void
  count(
    name:
      | 'failovers'
      | 'replayed_rows'
      | 'failovers_inexact'
      | 'hand_overs'
      | 'prefix_hits'
      | 'routes_doubted'
      | SpeculationCounter,
    by?: number,
  ): void
}

/** What a generation asks of a session, whatever computes it. */
export interface SessionRequest {
  /** Ids of the prompt, behind as many that count for nothing as a soft prompt has rows. */
  readonly prompt: readonly number[]
  readonly positions: number
  /** Milliseconds that the whole answer may take. */
  readonly deadline: number
  /** Time of the clock from which the deadline counts. @default when the session is opened */
  readonly since?: number
  /** Where the text is, that goes on in this session: another one has ended there. @default it begins */
  readonly at?: readonly RouteSegment[]
  readonly sampler: SamplerInit
  readonly signal: AbortSignal
  /** @default 'off' */
  readonly speculate?: SpeculateMode
  /** @default 'interactive' */
  readonly lane?: Lane | undefined
  readonly follow: Follow
}

export interface SessionInit extends SessionRequest {
  readonly digest: string
  readonly route: readonly RouteSegment[]
  /** What the model is asked with, in the store of this peer. Undefined: nothing. */
  readonly adapter?: SessionAdapter | undefined
  readonly failover: Failover
  /** Of this origin, for prompts that begin alike. @default nothing of the text is kept */
  readonly names?: PrefixNames
  /** A small model that guesses too. @default none */
  readonly draft?: DraftModel | undefined
  /** Undefined: nothing that others compute is computed again. */
  readonly audit?: SessionAudit | undefined
  /** Told a moment after the end where the time went. Undefined: nobody is asked. */
  readonly traced?: ((trace: SessionTrace) => void) | undefined
}

/** @throws NoRouteError, PeerLostError, and whatever a hop refuses with */
export async function openSession(needs: SessionNeeds, init: SessionInit): Promise<OriginSession> {
  const session = new RoutedSession(needs, init)
  try {
    init.signal.throwIfAborted()
    await session.open()
    return session
  } catch (error) {
    session.close()
    throw error
  }
}
