/** Messages of `fl-secagg/1`. Positions are places in the roster. */

/** R1: shares for one holder, sealed. */
export interface SealedShares {
  /** The receiver, where it goes to the aggregator; the sender, where it comes from there. */
  readonly position: number
  readonly data: Uint8Array
}

export interface SharesMessage {
  readonly sid: Uint8Array
  /** Of the sender. */
  readonly index: number
  readonly sealed: readonly SealedShares[]
}

/** R2, after the packed vector: what its sender stands for. */
export interface MaskedTrailer {
  /** SHA-256 of the packed masked vector. */
  readonly digest: Uint8Array
  readonly signature: Uint8Array
}

/** R3: who is in the sum, with what. */
export interface Survivor extends MaskedTrailer {
  readonly position: number
}

/** R3 and R4: a signature over one set of survivors. */
export interface Consistency {
  readonly position: number
  readonly signature: Uint8Array
}

/**
 * R4: what a holder gives away of one owner. There is one a peer, and it is of one kind: both shares of a peer, which
 * would lay its update open, cannot be said.
 */
export interface RevealedShare {
  /** `b`, of the self mask of a survivor; `s`, of the mask key of a member that is gone. */
  readonly kind: 'b' | 's'
  readonly share: Uint8Array
}

/** By the position of the owner. */
export type Reveal = ReadonlyMap<number, RevealedShare>
