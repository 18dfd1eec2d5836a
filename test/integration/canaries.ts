/** Words and numbers that must not stand in some bytes, in any spelling that a program might have given them. */
import { constants, inflateRawSync, inflateSync } from 'node:zlib'

/** What is looked for: a text, bytes, or token ids in a row. */
export type Canary = string | Uint8Array | readonly number[]

interface Spelling {
  readonly how: string
  readonly bytes: Buffer
}

/** Base64 of something in the middle of other bytes: at each of three offsets, without what the neighbours decide. */
function base64s(bytes: Buffer): Spelling[] {
  return [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const own = text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6))
    const url = own.replaceAll('+', '-').replaceAll('/', '_')
    return [...new Set([own, url])].map((one) => ({ how: `base64+${offset}`, bytes: Buffer.from(one) }))
  })
}

function ofBytes(bytes: Buffer): Spelling[] {
  const hex = bytes.toString('hex')
  return [
    { how: 'plain', bytes },
    { how: 'hex', bytes: Buffer.from(hex) },
    { how: 'HEX', bytes: Buffer.from(hex.toUpperCase()) },
    { how: 'backwards', bytes: Buffer.from(bytes).reverse() },
    ...base64s(bytes),
  ]
}

function ofText(text: string): Spelling[] {
  const wide = Buffer.from(text, 'utf16le')
  const all = [...new Set([text, text.toLowerCase(), text.toUpperCase()])].flatMap((one) => ofBytes(Buffer.from(one)))
  return [
    ...all,
    { how: 'utf-16le', bytes: wide },
    { how: 'utf-16be', bytes: Buffer.from(wide).swap16() },
    { how: 'url', bytes: Buffer.from(encodeURIComponent(text)) },
    { how: 'json', bytes: Buffer.from(JSON.stringify(text).slice(1, -1)) },
  ]
}

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) + 128)
  }
}

/** As MessagePack writes it. */
function packed(value: number): number[] {
  if (value < 128) return [value]
  return value < 256 ? [0xcc, value] : [0xcd, value >> 8, value & 255]
}

function ofIds(ids: readonly number[]): Spelling[] {
  const [big, wide] = [Buffer.alloc(ids.length * 4), BigInt64Array.from(ids, BigInt)]
  for (const [at, id] of ids.entries()) big.writeInt32BE(id, at * 4)
  return [
    { how: 'int16', bytes: Buffer.from(Uint16Array.from(ids).buffer) },
    { how: 'int32', bytes: Buffer.from(Int32Array.from(ids).buffer) },
    { how: 'int32be', bytes: big },
    { how: 'int64', bytes: Buffer.from(wide.buffer) },
    { how: 'varint', bytes: Buffer.from(ids.flatMap(varint)) },
    { how: 'msgpack', bytes: Buffer.from(ids.flatMap(packed)) },
    { how: 'json', bytes: Buffer.from(ids.join(',')) },
    { how: 'json with spaces', bytes: Buffer.from(ids.join(', ')) },
  ]
}

export function spellings(canary: Canary): readonly Spelling[] {
  if (typeof canary === 'string') return ofText(canary)
  return canary instanceof Uint8Array ? ofBytes(Buffer.from(canary)) : ofIds(canary)
}

const UNPACKING = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 16 << 20 }
const GZIP_HEADER = 10

/** What stands behind it is no second member, as gunzip believes, but the next message. */
function gunzipped(bytes: Buffer): Buffer {
  const isNamed = (bytes[3]! & 8) !== 0
  const end = isNamed ? bytes.indexOf(0, GZIP_HEADER) + 1 : GZIP_HEADER
  return inflateRawSync(bytes.subarray(end), UNPACKING)
}

const inflated = (bytes: Buffer): Buffer => inflateSync(bytes, UNPACKING)

const PACKED: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ['1f8b08', gunzipped],
  ['7801', inflated],
  ['785e', inflated],
  ['789c', inflated],
  ['78da', inflated],
]

/** What could be unpacked of these bytes, from wherever something packed seems to begin. */
function* unpacked(bytes: Buffer): Generator<Buffer> {
  for (const [magic, unpack] of PACKED) {
    const mark = Buffer.from(magic, 'hex')
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
      try {
        yield unpack(bytes.subarray(at))
      } catch {
        // It only looked like the beginning of something packed.
      }
    }
  }
  try {
    yield inflateRawSync(bytes, UNPACKING)
  } catch {
    // Nor is it packed without a header.
  }
}

/** Which canaries stand in which spelling in some of these: `name: spelling`, sorted. */
export function found(all: readonly Buffer[], canaries: Readonly<Record<string, Canary>>): string[] {
  const needles = Object.entries(canaries).flatMap(([name, canary]) =>
    spellings(canary).map((one) => ({ name, ...one })),
  )
  const hits = new Set<string>()
  const search = (bytes: Buffer, how: string): void => {
    for (const needle of needles) if (bytes.includes(needle.bytes)) hits.add(`${needle.name}: ${how}${needle.how}`)
  }
  for (const bytes of all) {
    search(bytes, '')
    for (const inner of unpacked(bytes)) search(inner, 'packed, ')
  }
  return [...hits].sort()
}
