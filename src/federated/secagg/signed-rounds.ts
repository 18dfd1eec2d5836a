/** A member signs one set of survivors a round, whatever restarts in between. */

/** Where the signed set is kept before the signature leaves (R3). */
export interface SignedRounds {
  /**
   * Durable when it returns. True when nothing was claimed for the round before, by this or an earlier process.
   * @param round SHA-256 of the round's header: federation, job, round, model, plan and parameters
   * @param set SHA-256 of what is signed: session and survivors
   */
  claim(round: Uint8Array, set: Uint8Array): boolean
}

/** For simulations and vectors: forgets with its process. A site keeps them in its ledger. */
export function volatileSignedRounds(): SignedRounds {
  const claimed = new Set<string>()
  return {
    claim(round) {
      const key = Buffer.from(round).toString('hex')
      if (claimed.has(key)) return false
      claimed.add(key)
      return true
    },
  }
}
