/** What the mesh needs of the rooms below it, and of the peer that it is part of. */
import type { AnyManifest } from '../models/index.ts'
import type { Membership, Network } from '../net/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { CounterName } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { Signer } from './records.ts'
import type { ModelLevels } from './types.ts'

/** A tensor or another blob by its address, or a manifest by its digest. */
export type BlobWanted = { readonly address: string } | { readonly manifest: string }

export type MeshCount = (name: CounterName, by?: number) => void

/** As pino has it: fields first. */
export interface MeshLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** A few small files of the mesh home that survive a restart. */
export interface MeshFiles {
  /** Undefined when there is none. */
  read(name: string): Promise<Uint8Array | undefined>
  /** Whole or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>
}

export interface MeshNeeds {
  readonly network: Network
  readonly identity: Signer
  readonly clock: Clock
  readonly random: RandomSource
  readonly store: BlobStore
  readonly logger: MeshLogger
  readonly telemetry: { readonly count: MeshCount }
  readonly files: MeshFiles
  /** Purposes asked: `connect` of every author, `place` of who publishes placements. @default everyone may */
  readonly membership?: Membership
  /** A manifest that this peer has, to serve it and so as not to fetch it. */
  readonly loadManifest: (digest: string) => Promise<AnyManifest | undefined>
  /** What this peer has measured of a model's rows, told with its manifest. @default nothing */
  readonly levels?: ((digest: string) => ModelLevels | undefined) | undefined
  /** What another peer may fetch; a text says why it may not. @default all that is here */
  readonly serves?: (peer: string, wanted: BlobWanted) => boolean | string
  /** Promises another peer, which is about to drop a blob, not to do so too. @default this peer drops none by itself */
  readonly promise?: (address: string) => boolean
  /** A holder has delivered for a while at so many bytes a second: that much the way from it can carry. */
  readonly delivered?: (peer: string, rate: number) => void
  /** Bytes a second that blobs may take to other peers, all together. @default no limit */
  readonly uploadLimit?: number
}
