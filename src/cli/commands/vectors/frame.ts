/** `frame`: bytes of the wire out of fields, and fields out of bytes (docs/wire.md). */
import {
  ControlError,
  decodeControl,
  DTYPE,
  encodeControl,
  encodeFrame,
  frame,
  FrameDecoder,
  FrameError,
  HEADER_BYTES,
  STATED_BYTES,
} from '../../../net/index.ts'
import type { DType, Frame } from '../../../net/index.ts'
import { bytesOf, hexOf, Refusal, textOf, wholeOf, wholesOf } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

const U8 = 0xff
const U16 = 0xffff
const U32 = 0xffffffff
const DIGEST_BYTES = 32
/** CRC-32C of payload and control, and of the rest of the header (net/frame.ts). */
const BODY_CHECKSUM_AT = 56
const HEADER_CHECKSUM_AT = 60

export const frameSuite: Suite = () => (input) => {
  const op = textOf(input, 'op')
  if (op === 'encode') return encode(input)
  if (op === 'decode') return shown(bytesOf(input, 'bytes'))
  throw new Refusal('malformed', '"op" is neither encode nor decode')
}

function encode(input: VectorCase): VectorCase {
  const fields = input['frame']
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new Refusal('malformed', '"frame" is no object')
  }
  const bytes = Buffer.concat(encodeFrame(frameOf(fields as VectorCase)))
  // What a receiver would refuse is no frame: the reader is asked before the bytes are shown.
  return { bytes: hexOf(bytes), ...shown(bytes) }
}

/** One frame with its header, or all frames of the bytes. */
function shown(bytes: Uint8Array): VectorCase {
  const frames = framesOf(bytes)
  if (frames.length !== 1) return { frames: frames.map(describe) }
  const header = bytes.subarray(0, HEADER_BYTES)
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES)
  return {
    header: hexOf(header),
    body_checksum: view.getUint32(BODY_CHECKSUM_AT, true),
    header_checksum: view.getUint32(HEADER_CHECKSUM_AT, true),
    frame: describe(frames[0]!),
  }
}

function framesOf(bytes: Uint8Array): Frame[] {
  const decoder = new FrameDecoder()
  try {
    const frames = decoder.push(bytes)
    if (decoder.failure !== undefined) throw decoder.failure
    if (decoder.pending > 0 || frames.length === 0) {
      throw new Refusal('length', `the bytes end inside a frame, after ${frames.length} whole ones`)
    }
    return frames
  } catch (error) {
    if (error instanceof FrameError) throw new Refusal(String(error.details['field']), error.message)
    throw error
  }
}

function frameOf(fields: VectorCase): Frame {
  const dims = fields['dims'] === undefined ? [] : wholesOf(fields, 'dims', 0, U32)
  if (dims.length > 4) throw new Refusal('rank', `rank ${dims.length} is above 4`)
  const whole = (field: string, most: number): number => wholeOf(fields, field, 0, most, 0)
  const digest = optionalBytes(fields, 'digest')
  if (digest !== undefined && digest.length !== DIGEST_BYTES) throw new Refusal('length', '"digest" is not 32 bytes')
  const stated = optionalBytes(fields, 'stated')
  if (stated !== undefined && stated.length !== STATED_BYTES)
    throw new Refusal('length', `"stated" is not ${STATED_BYTES} bytes`)
  return frame({
    type: wholeOf(fields, 'type', 0, U8),
    dtype: dtypeOf(fields['dtype']),
    dims,
    request: whole('request', Number.MAX_SAFE_INTEGER),
    epoch: whole('epoch', U32),
    attempt: whole('attempt', U16),
    flags: whole('flags', U16),
    step: whole('step', U32),
    position: whole('position', U32),
    hop: whole('hop', U16),
    rows: whole('rows', U16),
    micros: whole('micros', U32),
    waited: whole('waited', U32),
    payload: optionalBytes(fields, 'payload') ?? new Uint8Array(0),
    control: controlOf(fields),
    ...(digest === undefined ? {} : { digest }),
    ...(stated === undefined ? {} : { stated }),
  })
}

function optionalBytes(fields: VectorCase, field: string): Uint8Array | undefined {
  return fields[field] === undefined ? undefined : bytesOf(fields, field)
}

function dtypeOf(value: unknown): DType {
  if (value === undefined) return DTYPE.none
  if (typeof value === 'string' && Object.hasOwn(DTYPE, value)) return DTYPE[value as keyof typeof DTYPE]
  throw new Refusal('dtype', `"dtype" is none of ${Object.keys(DTYPE).join(', ')}`)
}

/** A map, which becomes MessagePack, or bytes as hex. */
function controlOf(fields: VectorCase): Uint8Array {
  const { control } = fields
  if (control === undefined) return new Uint8Array(0)
  if (typeof control === 'string') return bytesOf(fields, 'control')
  return refusing(() => encodeControl(control))
}

function describe(value: Frame): VectorCase {
  const { payload, control, digest, dtype, stated, ...fields } = value
  const name = Object.entries(DTYPE).find(([, number]) => number === dtype)![0]
  return {
    ...fields,
    dtype: name,
    digest: hexOf(digest),
    ...(stated.some((byte) => byte !== 0) ? { stated: hexOf(stated) } : {}),
    payload: hexOf(payload),
    control: hexOf(control),
    ...(control.length === 0 ? {} : { control_value: jsonOf(refusing(() => decodeControl(control))) }),
  }
}

function refusing<T>(action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof ControlError) throw new Refusal('control', error.message)
    throw error
  }
}

/** Bytes inside a control map as hex. */
function jsonOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return hexOf(value)
  if (Array.isArray(value)) return value.map(jsonOf)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, jsonOf(inner)]))
}
