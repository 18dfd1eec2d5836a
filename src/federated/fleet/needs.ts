/** What the jobs of a peer take from the peer around them. */
import type { Network } from '../../net/index.ts'
import type { Engine } from '../../onnx/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import type { BaseProvider } from '../site/local-trainer.ts'
import type { Signer } from './documents.ts'
import type { HookOptions } from './hooks.ts'
import type { TakingPart } from './taking-part.ts'

export interface FederationNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly identity: Signer
  /** Whether this peer signed it. */
  readonly verify: (bytes: Uint8Array, signature: Uint8Array) => boolean
  /** Null: alone. */
  readonly network: Pick<Network, 'handle' | 'open' | 'connected'> | null
  readonly engine: Engine
  readonly threads: number
  /** Language models of this peer, for plans that train adapters of one. */
  readonly base?: BaseProvider | undefined
  readonly paths: { readonly state: string; readonly keys: string }
  /** The roster: whom the membership admits to federations now. */
  readonly admits: (peer: string) => boolean
  /** Why it does not. @default its role */
  readonly refusal?: ((peer: string) => Error) | undefined
  /** The site's own word, before it joins a plan and before each round. @throws the refusal */
  readonly permit: (part: TakingPart) => void
  readonly isPresent: (peer: string) => boolean
  /** While watched, a peer that is frozen is known to be gone within seconds. Returns how to stop. */
  readonly watch: (peer: string) => () => void
  readonly nameOf: (peer: string) => string
  readonly emit: (event: string, facts: Record<string, unknown>) => void
  readonly log: (facts: Record<string, unknown>, text: string) => void
}

export interface JoinRequest {
  readonly job: string
  /** Absolute path of a data file. */
  readonly data: string
  readonly trainer?: string
  /** Only if the plan has this hash, 64 hex digits. */
  readonly hash?: string
  /** Epsilon that this site lets the data spend over all jobs. @default the plan's, where none is set */
  readonly cap?: number
  /** Another person has to approve. @default false */
  readonly unapproved?: boolean
  /** What an outsider's test wants; on once the job is joined. */
  readonly test?: HookOptions
}
