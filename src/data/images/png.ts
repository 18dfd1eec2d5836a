/**
 * PNG images (W3C, third edition) of 8 bits a sample: grey, grey with alpha, RGB, RGBA and palettes, not interlaced.
 * Alpha is left out.
 */
import { crc32, inflateSync } from 'node:zlib'
import { TableMalformedError } from '../table/errors.ts'
import type { Image } from './image.ts'
import { MOST_PIXELS } from './image.ts'

export const SIGNATURE: Buffer = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** Samples a pixel, by colour type. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }

export function isPng(bytes: Buffer): boolean {
  return bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)
}

/** @param where the file, as it may be printed. @throws TableMalformedError */
export function decodePng(bytes: Buffer, where: string): Image {
  const wrong = (why: string): TableMalformedError => new TableMalformedError(where, why)
  const chunks = chunksOf(bytes, wrong)
  const header = chunks.find(({ type }) => type === 'IHDR')?.data
  if (header === undefined || header.length !== 13) throw wrong('it has no header')
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const [depth, colour, interlace] = [header[8]!, header[9]!, header[12]!]
  const samples = SAMPLES[colour]
  if (width === 0 || height === 0 || width * height > MOST_PIXELS) throw wrong(`it has ${width} x ${height} pixels`)
  if (depth !== 8 || samples === undefined || interlace !== 0) {
    throw wrong('only PNG images of 8 bits a sample that are not interlaced are read')
  }
  const packed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data))
  const size = height * (1 + width * samples)
  let lines: Buffer
  try {
    lines = inflateSync(packed, { maxOutputLength: size })
  } catch (error) {
    throw wrong(`its pixels do not unpack: ${(error as Error).message}`)
  }
  if (lines.length !== size) throw wrong(`its pixels unpack to ${lines.length} bytes, not ${size}`)
  const pixels = unfiltered(lines, { width, height, samples }, wrong)
  if (colour !== 3) return { width, height, channels: samples >= 3 ? 3 : 1, data: withoutAlpha(pixels, samples) }
  const palette = chunks.find(({ type }) => type === 'PLTE')?.data
  return { width, height, channels: 3, data: coloured(pixels, palette, wrong) }
}

type Wrong = (why: string) => TableMalformedError

interface Chunk {
  readonly type: string
  readonly data: Buffer
}

function chunksOf(bytes: Buffer, wrong: Wrong): Chunk[] {
  const chunks: Chunk[] = []
  for (let at = SIGNATURE.length; at < bytes.length;) {
    if (at + 12 > bytes.length) throw wrong('it is cut off')
    const length = bytes.readUInt32BE(at)
    const end = at + 12 + length
    if (end > bytes.length) throw wrong('it is cut off')
    if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4))
      throw wrong('it does not have its checksum')
    const type = bytes.toString('latin1', at + 4, at + 8)
    chunks.push({ type, data: bytes.subarray(at + 8, end - 4) })
    if (type === 'IEND') break
    at = end
  }
  return chunks
}

function unfiltered(
  lines: Buffer,
  { width, height, samples }: { readonly width: number; readonly height: number; readonly samples: number },
  wrong: Wrong,
): Uint8Array {
  const stride = width * samples
  const pixels = new Uint8Array(height * stride)
  for (let row = 0; row < height; row++) {
    const from = row * (stride + 1)
    const filter = lines[from]!
    if (filter > 4) throw wrong(`it has a row with the unknown filter ${filter}`)
    const to = row * stride
    for (let at = 0; at < stride; at++) {
      const left = at >= samples ? pixels[to + at - samples]! : 0
      const up = row > 0 ? pixels[to + at - stride]! : 0
      const corner = row > 0 && at >= samples ? pixels[to + at - stride - samples]! : 0
      pixels[to + at] = lines[from + 1 + at]! + predicted(filter, left, up, corner)
    }
  }
  return pixels
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  const guess = left + up - corner
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
  return a <= b && a <= c ? left : b <= c ? up : corner
}

function withoutAlpha(pixels: Uint8Array, samples: number): Uint8Array {
  if (samples === 1 || samples === 3) return pixels
  const kept = samples - 1
  return Uint8Array.from({ length: (pixels.length / samples) * kept }, (_, at) => {
    return pixels[Math.floor(at / kept) * samples + (at % kept)]!
  })
}

function coloured(pixels: Uint8Array, palette: Buffer | undefined, wrong: Wrong): Uint8Array {
  if (palette === undefined) throw wrong('it has no palette')
  const data = new Uint8Array(pixels.length * 3)
  for (const [at, index] of pixels.entries()) {
    if (3 * index + 3 > palette.length) throw wrong('a pixel has a colour that its palette lacks')
    data.set(palette.subarray(3 * index, 3 * index + 3), 3 * at)
  }
  return data
}
