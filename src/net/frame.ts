/**
 * The frame: a fixed header of 128 bytes and a raw payload, the same between peers and between a peer and its stage
 * hosts. Little-endian.
 *
 *   0 u32 magic "WEFT"   4 u8 version   5 u8 type      6 u8 dtype   7 u8 rank
 *   8 f64 request        16 u32 epoch   20 u16 attempt 22 u16 flags
 *  24 u32 step           28 u32 position               32 u32[4] dims
 *  48 u32 payload bytes  52 u32 control bytes          56 u32 CRC-32C of payload and control, or 0: see FrameTrust
 *  60 u32 CRC-32C of the other 124 header bytes        64 u8[32] running digest of the session's rows
 *  96 u16 hop            98 u16 rows    100 u32 micros  104 u32 waited   108 u8[16] stated   124 u8[4] zero
 * 128 payload (so it stays 64-byte aligned), then the control map (MessagePack).
 *
 * The type of a tensor is what the manifest says; header and manifest must agree before anything is allocated.
 */
import { crc32c } from './crc32c.ts'
import { FrameError } from './errors.ts'

export const HEADER_BYTES = 128
export const FRAME_MAGIC = 0x54464557
/** Spoken by this release; the one before it, once there is one, is read as well. */
export const FRAME_VERSION = 1
/** 512 rows of a width of 16,384 in float32, twice: more than any chunk that weft sends. */
export const MAX_PAYLOAD_BYTES = 64 << 20
/** Control maps carry routes and options, no data. */
export const MAX_CONTROL_BYTES = 256 << 10

export const DTYPE = { none: 0, f32: 1, f16: 2, i32: 3, bytes: 4 } as const
export type DType = (typeof DTYPE)[keyof typeof DTYPE]

const DTYPE_BYTES: Readonly<Record<DType, number>> = { 0: 0, 1: 4, 2: 2, 3: 4, 4: 1 }
/** A decode step or a chunk of a weight fits; longer bodies grow as their bytes arrive. */
const FIRST_BODY_BYTES = 128 << 10
const NO_DIGEST = new Uint8Array(32)
/** Of `Frame.stated`. */
export const STATED_BYTES = 16
const NOTHING_STATED = new Uint8Array(STATED_BYTES)
const NO_BYTES = new Uint8Array(0)

export interface Frame {
  readonly type: number
  readonly dtype: DType
  /** Shape of the payload; its product times the size of the dtype is the payload's length. */
  readonly dims: readonly number[]
  /** Chosen at random by the origin; below 2^53. */
  readonly request: number
  readonly epoch: number
  readonly attempt: number
  readonly flags: number
  readonly step: number
  /** Position in the session of the payload's first row. */
  readonly position: number
  /** Place of the receiver in the route. */
  readonly hop: number
  /** Rows of the step that this frame carries or answers. */
  readonly rows: number
  /** Microseconds that stages have computed for this step so far. */
  readonly micros: number
  /** Microseconds that it was in stage hosts so far and they did not compute it: queues, and choosing what follows. */
  readonly waited: number
  /** SHA-256 over the previous digest and this payload: 32 bytes. */
  readonly digest: Uint8Array
  /** What the sender says that its rows are: 16 bytes that name model and boundary, or zeros where it says nothing. */
  readonly stated: Uint8Array
  readonly payload: Uint8Array
  /** MessagePack, decoded by the protocol that knows its schema. */
  readonly control: Uint8Array
}

export type FrameInit = Partial<Frame> & Pick<Frame, 'type'>

/** A whole frame out of the fields that matter; the others are zero. */
export function frame(init: FrameInit): Frame {
  return {
    dtype: DTYPE.none,
    dims: [],
    request: 0,
    epoch: 0,
    attempt: 0,
    flags: 0,
    step: 0,
    position: 0,
    hop: 0,
    rows: 0,
    micros: 0,
    waited: 0,
    digest: NO_DIGEST,
    stated: NOTHING_STATED,
    payload: NO_BYTES,
    control: NO_BYTES,
    ...init,
  }
}

/**
 * What carries the bytes. `own`: a socket between a peer and a process of its own, which both have from the start: no
 * network damages the bytes, and nobody else can write there. Payload and control map have no checksum then (the field
 * is 0), and the memory of a body is taken at once. All else is checked as between peers.
 */
export type FrameTrust = 'peers' | 'own'

/** The bytes to send, header first; payload and control are not copied. */
export function encodeFrame(value: Frame, trust: FrameTrust = 'peers'): Uint8Array[] {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, FRAME_MAGIC, true)
  header[4] = FRAME_VERSION
  header[5] = value.type
  header[6] = value.dtype
  header[7] = value.dims.length
  view.setFloat64(8, value.request, true)
  view.setUint32(16, value.epoch, true)
  view.setUint16(20, value.attempt, true)
  view.setUint16(22, value.flags, true)
  view.setUint32(24, value.step, true)
  view.setUint32(28, value.position, true)
  for (const [index, dim] of value.dims.entries()) view.setUint32(32 + 4 * index, dim, true)
  view.setUint32(48, value.payload.length, true)
  view.setUint32(52, value.control.length, true)
  if (trust === 'peers') view.setUint32(56, crc32c(value.control, crc32c(value.payload)), true)
  header.set(value.digest, 64)
  header.set(value.stated, 108)
  view.setUint16(96, value.hop, true)
  view.setUint16(98, value.rows, true)
  view.setUint32(100, value.micros, true)
  view.setUint32(104, value.waited, true)
  view.setUint32(60, headerChecksum(header), true)
  const parts: Uint8Array[] = [header]
  if (value.payload.length > 0) parts.push(value.payload)
  if (value.control.length > 0) parts.push(value.control)
  return parts
}

function headerChecksum(header: Uint8Array): number {
  return crc32c(header.subarray(64), crc32c(header.subarray(0, 60)))
}

interface Header {
  readonly frame: Frame
  readonly payloadBytes: number
  readonly controlBytes: number
  readonly checksum: number
}

/** @throws FrameError for anything that is not a frame of ours; nothing has been allocated then. */
export function decodeHeader(header: Uint8Array): Header {
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES)
  if (view.getUint32(0, true) !== FRAME_MAGIC) throw new FrameError('magic', 'the bytes do not start a weft frame')
  if (header[4] !== FRAME_VERSION) throw new FrameError('version', `frame version ${header[4]} is not spoken here`)
  if (view.getUint32(60, true) !== headerChecksum(header)) throw new FrameError('checksum', 'the header is damaged')
  const dtype = header[6]! as DType
  const size = DTYPE_BYTES[dtype]
  if (size === undefined) throw new FrameError('dtype', `unknown element type ${header[6]}`)
  const rank = header[7]!
  if (rank > 4) throw new FrameError('rank', `rank ${rank} is above 4`)
  const payloadBytes = view.getUint32(48, true)
  const controlBytes = view.getUint32(52, true)
  if (payloadBytes > MAX_PAYLOAD_BYTES)
    throw new FrameError('payload', `a payload of ${payloadBytes} bytes is above the limit of ${MAX_PAYLOAD_BYTES}`)
  if (controlBytes > MAX_CONTROL_BYTES)
    throw new FrameError('control', `a control map of ${controlBytes} bytes is above the limit of ${MAX_CONTROL_BYTES}`)
  const dims = Array.from({ length: rank }, (_, index) => view.getUint32(32 + 4 * index, true))
  const elements = dims.reduce((product, dim) => product * dim, rank === 0 ? 0 : 1)
  if (elements * size !== payloadBytes)
    throw new FrameError('shape', `shape [${dims.join(', ')}] and ${payloadBytes} payload bytes do not agree`)
  const request = view.getFloat64(8, true)
  if (!Number.isSafeInteger(request) || request < 0)
    throw new FrameError('request', 'the request number is not a natural number')
  return {
    payloadBytes,
    controlBytes,
    checksum: view.getUint32(56, true),
    frame: {
      type: header[5]!,
      dtype,
      dims,
      request,
      epoch: view.getUint32(16, true),
      attempt: view.getUint16(20, true),
      flags: view.getUint16(22, true),
      step: view.getUint32(24, true),
      position: view.getUint32(28, true),
      hop: view.getUint16(96, true),
      rows: view.getUint16(98, true),
      micros: view.getUint32(100, true),
      waited: view.getUint32(104, true),
      digest: header.slice(64, 96),
      stated: header.slice(108, 108 + STATED_BYTES),
      payload: NO_BYTES,
      control: NO_BYTES,
    },
  }
}

/**
 * Turns a stream of bytes, however it is chunked, into frames. Each payload lies at the start of its own buffer, so
 * typed arrays can be laid over it. After a FrameError the stream is lost: the caller must close it.
 */
export class FrameDecoder {
  #head = new Uint8Array(HEADER_BYTES)
  #headFill = 0
  #header: Header | undefined
  #body: Uint8Array = NO_BYTES
  #bodyFill = 0
  #length = 0
  #failure: Error | undefined
  readonly #trust: FrameTrust

  constructor(trust: FrameTrust = 'peers') {
    this.#trust = trust
  }

  /** Bytes of a frame that has begun and is not complete. */
  get pending(): number {
    return this.#headFill + this.#bodyFill
  }

  /** What ended the stream; the frames before it are good. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** @throws FrameError, unless frames came before the bad bytes: then `failure` has it. */
  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = []
    try {
      if (this.#failure !== undefined) throw this.#failure
      this.#take(bytes, frames)
    } catch (error) {
      this.#failure = error as Error
      if (frames.length === 0) throw error
    }
    return frames
  }

  #take(bytes: Uint8Array, frames: Frame[]): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#header === undefined) {
        const take = Math.min(HEADER_BYTES - this.#headFill, bytes.length - at)
        this.#head.set(bytes.subarray(at, at + take), this.#headFill)
        this.#headFill += take
        at += take
        if (this.#headFill < HEADER_BYTES) break
        this.#begin(decodeHeader(this.#head))
      }
      const take = Math.min(this.#length - this.#bodyFill, bytes.length - at)
      if (take > 0) {
        this.#reserve(this.#bodyFill + take)
        this.#body.set(bytes.subarray(at, at + take), this.#bodyFill)
        this.#bodyFill += take
        at += take
      }
      if (this.#bodyFill === this.#length) frames.push(this.#end())
    }
  }

  #begin(header: Header): void {
    this.#header = header
    this.#length = header.payloadBytes + header.controlBytes
    this.#body =
      this.#trust === 'own' ? unwritten(this.#length) : new Uint8Array(Math.min(this.#length, FIRST_BODY_BYTES))
    this.#bodyFill = 0
  }

  /** Grows with what has arrived, so that a frame that never comes holds no memory. */
  #reserve(bytes: number): void {
    if (bytes <= this.#body.length) return
    const grown = new Uint8Array(Math.min(this.#length, Math.max(bytes, 2 * this.#body.length)))
    grown.set(this.#body.subarray(0, this.#bodyFill))
    this.#body = grown
  }

  #end(): Frame {
    const header = this.#header!
    const checksum = this.#trust === 'own' ? 0 : crc32c(this.#body)
    if (checksum !== header.checksum) throw new FrameError('checksum', 'payload or control map is damaged')
    const payload = this.#body.subarray(0, header.payloadBytes)
    const control = this.#body.subarray(header.payloadBytes)
    this.#header = undefined
    this.#headFill = 0
    this.#body = NO_BYTES
    this.#bodyFill = 0
    return { ...header.frame, payload, control }
  }
}

/** Memory of its own that is handed out only when all of it has been written. Zeros would be written for nothing. */
function unwritten(bytes: number): Uint8Array {
  const { buffer } = Buffer.allocUnsafeSlow(bytes)
  return new Uint8Array(buffer)
}
