/** The running digest of a session's rows over one boundary: evidence of what was sent, and in which order. */
import { createHash } from 'node:crypto'

export class RowDigest {
  #value: Uint8Array = new Uint8Array(32)

  /** SHA-256 over the digest so far and these bytes. */
  next(payload: Uint8Array): Uint8Array {
    this.#value = createHash('sha256').update(this.#value).update(payload).digest()
    return this.#value
  }

  /** Whether these bytes with this digest are the next ones. */
  fits(payload: Uint8Array, claimed: Uint8Array): boolean {
    return Buffer.compare(createHash('sha256').update(this.#value).update(payload).digest(), claimed) === 0
  }

  matches(payload: Uint8Array, claimed: Uint8Array): boolean {
    return Buffer.compare(this.next(payload), claimed) === 0
  }
}
