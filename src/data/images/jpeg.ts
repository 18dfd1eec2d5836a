/** JPEG images of 8 bits, baseline and progressive, grey or of three colours. */
import { decode } from 'jpeg-js'
import { TableMalformedError } from '../table/errors.ts'
import type { Image } from './image.ts'
import { MOST_PIXELS } from './image.ts'

/** What the decoder may take for one image: coefficients of the largest, four times over. */
const MOST_MEGABYTES = 2048

export function isJpeg(bytes: Buffer): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff
}

/**
 * As stored: how a camera was held (Exif) turns nothing.
 * @param where the file, as it may be printed. @throws TableMalformedError
 */
export function decodeJpeg(bytes: Buffer, where: string): Image {
  const wrong = (why: string): TableMalformedError => new TableMalformedError(where, why)
  const frame = frameOf(bytes)
  if (frame === undefined) throw wrong('it is a JPEG image without a header, or cut off')
  const { width, height, channels } = frame
  if (width === 0 || height === 0 || width * height > MOST_PIXELS) throw wrong(`it has ${width} x ${height} pixels`)
  if (frame.depth !== 8 || (channels !== 1 && channels !== 3))
    throw wrong(`it has ${channels} channels of ${frame.depth} bits, and JPEG is read with 1 or 3 of 8`)
  const data = pixelsOf(bytes, wrong)
  if (data.length !== 3 * width * height) throw wrong('its pixels are not as many as its header says')
  if (channels === 3) return { width, height, channels, data }
  return { width, height, channels, data: data.filter((_, at) => at % 3 === 0) }
}

function pixelsOf(bytes: Buffer, wrong: (why: string) => TableMalformedError): Uint8Array {
  try {
    return decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: MOST_PIXELS / 1e6,
      maxMemoryUsageInMB: MOST_MEGABYTES,
    }).data
  } catch (error) {
    throw wrong(`its pixels do not unpack: ${(error as Error).message.slice(0, 200)}`)
  }
}

interface Frame {
  readonly depth: number
  readonly width: number
  readonly height: number
  readonly channels: number
}

/** Of the first frame header (SOF0 to SOF15 but DHT, JPG and DAC); undefined: there is none before the pixels. */
function frameOf(bytes: Buffer): Frame | undefined {
  for (let at = 2; at + 4 <= bytes.length;) {
    if (bytes[at] !== 0xff) return undefined
    const marker = bytes[at + 1]!
    // Any number of these may stand before a marker.
    if (marker === 0xff) {
      at++
      continue
    }
    if (marker === 0xd9 || marker === 0xda) return undefined
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame && at + 10 <= bytes.length) {
      const [height, width] = [bytes.readUInt16BE(at + 5), bytes.readUInt16BE(at + 7)]
      return { depth: bytes[at + 4]!, width, height, channels: bytes[at + 9]! }
    }
    at += 2 + bytes.readUInt16BE(at + 2)
  }
  return undefined
}
