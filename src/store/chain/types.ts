/** A chain of entries that only grows: what the privacy ledger and the audit log of a site have in common. */

/** Where a chain stands. Whoever remembers it can tell a chain that went back, or became another one. */
export interface ChainHead {
  /** Entries, 0 for an empty chain. */
  readonly seq: number
  /** Of the last entry, hex. */
  readonly hash: string
}

export const EMPTY_CHAIN: ChainHead = { seq: 0, hash: '00'.repeat(32) }

/** What each entry says beside what it is about. */
export interface ChainLink {
  readonly seq: number
  /** Hash of the entry before. */
  readonly previous: string
  /** Milliseconds since 1970, by the clock of the site. */
  readonly wall: number
}

export interface ChainSigner {
  sign(bytes: Uint8Array): Uint8Array
  verify(bytes: Uint8Array, signature: Uint8Array): boolean
}

export interface ChainPlaces {
  readonly path: string
  /** In another folder, best on another disk: whoever puts an old chain back must not find both together. */
  readonly anchor: string
}

export type ChainTrouble = 'damaged' | 'rolled back' | 'unwritable' | 'busy'

export interface ChainFacts {
  readonly why?: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** What makes one kind of chain another than the next: the words it is hashed and signed with, and its errors. */
export interface ChainKind<Entry extends ChainLink> {
  /** For people: `ledger`. */
  readonly noun: string
  /** Hashed before each entry: no entry of one kind is one of another. */
  readonly entryDomain: string
  /** Signed before each head. */
  readonly headDomain: string
  /** Undefined: no entry of this kind. */
  readonly check: (value: unknown) => Entry | undefined
  /** Whether an entry says of itself that nobody signed it: the next signature covers it. @default none may */
  readonly isUnsigned?: (entry: Entry) => boolean
  readonly error: (trouble: ChainTrouble, message: string, facts: ChainFacts) => Error
}
