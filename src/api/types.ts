/** What the HTTP side needs, what it can be told, and what it gives. */
import type { ErrorInfo } from '../errors.ts'
import type { BatchBook, Peer, StreamJournal } from '../peer/index.ts'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { ApiLimits } from './limits.ts'

/** `generate`: the /v1 routes; `read`: state and metrics; `admin`: everything. */
export type Scope = 'generate' | 'read' | 'admin'

export interface KeyFacts {
  readonly id?: string
  readonly scopes: readonly string[]
}

export interface KeyVerifier {
  /** Null when the secret is unknown, revoked or expired; takes the same time for every secret of one length. */
  verify(secret: string): Promise<KeyFacts | null>
  /** Whether the key of this id still holds: asked for work that goes on after its request. @default it does */
  holds?(id: string): Promise<boolean>
}

export interface AdminCall {
  /** `key:ID`; `owner`: by the socket; `local`: by loopback, which asks for no key; `stranger`: none that holds. */
  readonly who: string
  /** The pattern, e.g. `/api/v1/deploy`. */
  readonly route: string
  readonly status: number
}

export interface ApiNeeds {
  readonly peer: Peer
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly logger: Logger
  readonly keys: KeyVerifier
  /** Told of each call that needs the scope admin: who, which route, which status. @default nobody is */
  readonly called?: (call: AdminCall) => void
  /** Runs what a request asks for on behalf of who asked, as `called` names them. @default it just runs */
  readonly acting?: (who: string, action: () => void) => void
  /** @default the system's */
  readonly random?: RandomSource
  /** What `POST /api/v1/shutdown` starts. @default peer.stop */
  readonly shutdown?: (options: { readonly drain: number }) => Promise<void>
  /** Keeps requests of streamed answers over a restart. @default none */
  readonly journal?: StreamJournal
  /** Keeps files and batches. @default there are none */
  readonly batches?: BatchBook
  /** Answers `GET /api/v1/errors/{code}`. */
  readonly catalogueErrors?: readonly ErrorInfo[]
}

export interface ApiInit {
  readonly version: string
  /** Further values of the Host header that are accepted, with or without port. */
  readonly hosts?: readonly string[]
  /** Web origins that may call, e.g. `https://chat.example`. There is no wildcard. */
  readonly cors?: readonly string[]
  readonly limits?: Partial<ApiLimits>
}

export interface ListenAddress {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

export interface Api {
  /** @throws PortInUseError, ListenError */
  listen(address: ListenAddress): Promise<{ readonly host: string; readonly port: number; readonly url: string }>
  /** A Unix socket (mode 0600) with the same routes, no key needed, and shutdown. @throws SocketInUseError, ListenError */
  listenSocket(path: string): Promise<void>
  /** Ends accepting, waits at most `drain` ms (default 0) for what is in flight, then cuts it. */
  close(options?: { readonly drain?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
