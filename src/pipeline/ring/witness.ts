/**
 * What a hop of an audited session keeps of its rows beside the rows themselves: a hash of each that came in and went out,
 * and what the stage before has signed of them, some 100 bytes a row. Whoever sends has signed, so it cannot tell its
 * successor one thing and an auditor another; whoever receives has the signature, so it cannot say that it got something else.
 */
import { decodeControl, DTYPE, encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Hop } from './hop.ts'
import { chained, CHAIN_START, HASH_BYTES, isSigned, rowHashes, sealOf, sha256, statementBytes } from './statement.ts'
import type { Receipt, Seal } from './statement.ts'

export const UNSIGNED = 'rows are not signed by their sender'
export const NOT_FINITE = 'rows are not finite'

export interface WitnessInit {
  readonly origin: string
  /** Digest of the model. */
  readonly model: string
  readonly from: number
  readonly to: number
  readonly kernel: string
  sign(bytes: Uint8Array): Uint8Array
}

/** Who sent rows, and the blocks that it computes; undefined: token ids of the origin, which answers to nobody. */
export interface Sender {
  readonly peer: string
  readonly from: number
  readonly to: number
}

export class Witness {
  readonly #init: WitnessInit
  readonly #taken = new Hashes()
  readonly #chain = new Hashes()
  readonly #given = new Hashes()
  readonly #receipts: Receipt[] = []

  constructor(init: WitnessInit) {
    this.#init = init
  }

  get kernel(): string {
    return this.#init.kernel
  }

  /** Rows that came in, in order. Returns why they are not taken. */
  take(message: Frame, sender: Sender | undefined): string | undefined {
    const count = message.dims[0] ?? 0
    const hashes = rowHashes(message.payload, count)
    if (sender !== undefined) {
      const seal = sealOf(message)
      if (seal === undefined) return UNSIGNED
      const { position } = message
      const receipt = { ...seal, ...sender, position, count }
      if (!isReceipt(this.#init, receipt, hashes)) return UNSIGNED
      if (!isFinite(message)) return NOT_FINITE
      this.#receipts.push(receipt)
    }
    this.#chain.append(chained(this.#chain.last ?? CHAIN_START, hashes))
    this.#taken.append(hashes)
    return undefined
  }

  /** Rows that the stage has computed, in order. */
  give(position: number, payload: Uint8Array, count: number): void {
    if (position === this.#given.rows) this.#given.append(rowHashes(payload, count))
  }

  /** Of rows that were given. */
  seal(session: number, attempt: number, position: number, count: number): Seal {
    return this.#sealed(session, attempt, position, count, sha256(this.#given.slice(position, count)))
  }

  /** Of a token behind the row at `position`. */
  sealToken(session: number, attempt: number, position: number, payload: Uint8Array): Seal {
    return this.#sealed(session, attempt, position, 1, sha256(sha256(payload)))
  }

  #sealed(session: number, attempt: number, position: number, count: number, output: Uint8Array): Seal {
    const { origin, model, from, to, kernel } = this.#init
    const input = this.#chain.slice(position + count - 1, 1)
    const signature = this.#init.sign(
      statementBytes({ origin, session, attempt, model, from, to, position, count, input, output, kernel }),
    )
    return { session, attempt, kernel, input, signature }
  }

  /** Hashes of rows [position, position + count) as they came in; undefined: they are not here. */
  taken(position: number, count: number): Uint8Array | undefined {
    return position + count <= this.#taken.rows ? this.#taken.slice(position, count) : undefined
  }

  given(position: number, count: number): Uint8Array | undefined {
    return position + count <= this.#given.rows ? this.#given.slice(position, count) : undefined
  }

  /** What its sender signed of the row at `position`. */
  receipt(position: number): Receipt | undefined {
    // The last that covers it: rows may have come twice, by another attempt.
    return this.#receipts.findLast((each) => each.position <= position && position < each.position + each.count)
  }
}

/** A token of a head, with what its peer says of it. */
export function signedToken({ witness, request, attempt }: Hop, message: Frame): Frame {
  if (witness === undefined) return message
  const seal = witness.sealToken(request, attempt, message.position + message.rows - 1, message.payload)
  const control = message.control.length === 0 ? {} : (decodeControl(message.control) as object)
  return { ...message, control: encodeControl({ ...control, seal }) }
}

/** Whether the sender of these rows has signed them. */
export function isReceipt(
  { origin, model }: Pick<WitnessInit, 'origin' | 'model'>,
  receipt: Receipt,
  hashes: Uint8Array,
): boolean {
  const { peer, signature, ...rest } = receipt
  return isSigned(peer, { ...rest, origin, model, output: sha256(hashes) }, signature)
}

/** A control map that carries a seal. */
export function sealed(seal: Seal): Uint8Array {
  return encodeControl({ ...seal })
}

/** Rows of hashes that grow. */
class Hashes {
  #bytes = new Uint8Array(64 * HASH_BYTES)
  rows = 0

  get last(): Uint8Array | undefined {
    return this.rows === 0 ? undefined : this.slice(this.rows - 1, 1)
  }

  append(hashes: Uint8Array): void {
    const used = this.rows * HASH_BYTES
    if (used + hashes.length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(used + hashes.length, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    this.#bytes.set(hashes, used)
    this.rows += hashes.length / HASH_BYTES
  }

  /** A copy. */
  slice(position: number, count: number): Uint8Array {
    return this.#bytes.slice(position * HASH_BYTES, (position + count) * HASH_BYTES)
  }
}

/** No row of the boundary is an infinity or no number: its exponent has not all bits set. */
function isFinite({ dtype, payload }: Frame): boolean {
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice()
  if (dtype === DTYPE.f16) {
    const values = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)
    return values.every((value) => (value & 0x7c00) !== 0x7c00)
  }
  if (dtype !== DTYPE.f32) return true
  const values = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  return values.every((value) => (value & 0x7f800000) !== 0x7f800000)
}
