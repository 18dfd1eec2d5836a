/** PNG images (W3C, third edition), 8 bits a sample, without filters. */
import { crc32, deflateSync } from 'node:zlib'
import type { Image } from './image.ts'
import { SIGNATURE } from './png.ts'

const BITS = 8
/** By channels. */
const COLOUR_TYPE = { 1: 0, 3: 2 } as const

export function encodePng({ width, height, channels, data }: Image): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([BITS, COLOUR_TYPE[channels]], 8)
  const stride = width * channels
  const lines = Buffer.alloc(height * (stride + 1))
  for (let row = 0; row < height; row++)
    lines.set(data.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1)
  const parts = [chunk('IHDR', header), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', Buffer.alloc(0))]
  return Buffer.concat([SIGNATURE, ...parts])
}

function chunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(typed))
  return Buffer.concat([length, typed, sum])
}
