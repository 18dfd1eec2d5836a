/**
 * Messages of named tensors as frames: the first carries the control map with the table of tensors and the first bytes,
 * others of the same type and request follow while flag 1 says so.
 */
import { decodeControl, DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { TensorTableError } from './errors.ts'
import { checkTable, packedBytes, packTensors, unpackTensors } from './tensors.ts'
import type { TensorRow, Tensors } from './tensors.ts'

/** More of the message follows. */
export const MORE = 1
/** A heart-beat on another stream waits for a piece of a frame, not for a frame; this bounds what is copied at once. */
const PIECE_BYTES = 16 << 20

export interface MessageHead {
  readonly type: number
  readonly request: number
  readonly step?: number
  readonly hop?: number
  /** Plain data; `tensors` is the table's place. */
  readonly control: Readonly<Record<string, unknown>>
}

export interface Message {
  readonly head: Frame
  readonly control: Readonly<Record<string, unknown>>
  readonly tensors: Tensors
  /** Of the tensors, packed. */
  readonly bytes: number
}

/** The frames of a message, to be sent one after the other with none of another message between. @throws ControlError */
export function* messageFrames(head: MessageHead, tensors: Tensors): Generator<Frame> {
  const packed = packTensors(tensors)
  const { control, ...fields } = head
  let first = true
  let sent = 0
  for (const payload of pieces(packed.parts)) {
    sent += payload.length
    yield frame({
      ...fields,
      dtype: DTYPE.bytes,
      dims: [payload.length],
      payload,
      flags: sent < packed.bytes ? MORE : 0,
      ...(first ? { control: encodeControl({ ...control, tensors: packed.table }) } : {}),
    })
    first = false
  }
  if (first) yield frame({ ...fields, control: encodeControl({ ...control, tensors: packed.table }) })
}

/** Bytes that lie in one place already are not copied. */
function* pieces(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let held: Uint8Array[] = []
  let length = 0
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      const take = Math.min(part.length - at, PIECE_BYTES - length)
      held.push(part.subarray(at, at + take))
      at += take
      length += take
      if (length < PIECE_BYTES) continue
      yield joined(held)
      held = []
      length = 0
    }
  }
  if (length > 0) yield joined(held)
}

/** Values that are passed on lie side by side, as they came: they are not copied. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts as readonly [Uint8Array]
  let end = first.byteOffset
  for (const { buffer, byteOffset, length } of parts) {
    if (buffer !== first.buffer || byteOffset !== end) return Buffer.concat(parts)
    end += length
  }
  return new Uint8Array(first.buffer, first.byteOffset, end - first.byteOffset)
}

interface Begun {
  readonly head: Frame
  readonly control: Readonly<Record<string, unknown>>
  readonly table: readonly TensorRow[]
  readonly bytes: Uint8Array
  fill: number
}

/** Puts messages together again. What it throws ends the message, and with garbage nobody can tell where the next begins. */
export class MessageReader {
  readonly #most: number
  #begun: Begun | null = null

  /** @param most bytes of one message */
  constructor(most: number) {
    this.#most = most
  }

  /** The message whose last frame this is, or null while more must come. @throws TensorTableError, ControlError */
  take(part: Frame): Message | null {
    const begun = this.#begun ?? this.#begin(part)
    this.#begun = null
    if (part.type !== begun.head.type || part.request !== begun.head.request) {
      throw new TensorTableError('another message begins before its end')
    }
    if (begun.fill + part.payload.length > begun.bytes.length)
      throw new TensorTableError('it has more bytes than it says')
    if (begun.bytes !== part.payload) begun.bytes.set(part.payload, begun.fill)
    begun.fill += part.payload.length
    if ((part.flags & MORE) !== 0) {
      this.#begun = begun
      return null
    }
    if (begun.fill < begun.bytes.length) throw new TensorTableError('it has fewer bytes than it says')
    const { head, control, table, bytes } = begun
    return { head, control, tensors: unpackTensors(table, bytes), bytes: bytes.length }
  }

  /** The memory is not touched before bytes arrive: the system gives pages of zeros as they are written. */
  #begin(head: Frame): Begun {
    const control = decodeControl(head.control)
    if (typeof control !== 'object' || control === null) throw new TensorTableError('it has no control map')
    const map = control as Readonly<Record<string, unknown>>
    const table = checkTable(map['tensors'])
    const size = packedBytes(table)
    if (size > this.#most) throw new TensorTableError(`${size} bytes, and ${this.#most} are the most`)
    const whole = (head.flags & MORE) === 0 && size === head.payload.length
    return { head, control: map, table, bytes: whole ? head.payload : new Uint8Array(size), fill: 0 }
  }
}
