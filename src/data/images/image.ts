/** An image as bytes. */
import { TableMalformedError } from '../table/errors.ts'

export interface Image {
  readonly width: number
  readonly height: number
  /** 1: grey, 3: red, green and blue. */
  readonly channels: 1 | 3
  /** Row by row, the samples of a pixel side by side. */
  readonly data: Uint8Array
}

/** Larger ones are no examples of what a model is trained on here. */
export const MOST_PIXELS = 1 << 26

/** [channels, height, width], as convolutions take it. */
export function planes({ width, height, channels, data }: Image): Uint8Array {
  if (channels === 1) return data
  const size = width * height
  const result = new Uint8Array(data.length)
  for (let pixel = 0; pixel < size; pixel++) {
    for (let channel = 0; channel < channels; channel++)
      result[channel * size + pixel] = data[pixel * channels + channel]!
  }
  return result
}

/** Portable grey and colour maps in their binary forms (P5, P6) of 8 bits. @throws TableMalformedError */
export function decodePnm(bytes: Buffer, where: string): Image {
  const header = /^P([56])\s(?:#[^\n]*\n|\s)*(\d{1,5})\s+(\d{1,5})\s+(\d{1,5})\s/.exec(bytes.toString('latin1', 0, 512))
  if (header === null) throw new TableMalformedError(where, 'it is neither PNG nor JPEG nor a binary PGM or PPM image')
  const [width, height, most] = [Number(header[2]), Number(header[3]), Number(header[4])]
  const channels = header[1] === '5' ? 1 : 3
  const data = new Uint8Array(bytes.subarray(header[0].length))
  const size = width * height * channels
  if (most !== 255 || size === 0 || data.length < size)
    throw new TableMalformedError(where, 'its pixels are cut off, or have more than 8 bits')
  return { width, height, channels, data: data.subarray(0, size) }
}
