/** RIFF/WAVE sounds: PCM of 8, 16, 24 or 32 bits, and float32; several channels become their mean. */
import { TableMalformedError } from '../table/errors.ts'

export interface Sound {
  /** Samples a second. */
  readonly rate: number
  /** In [-1, 1]. */
  readonly samples: Float32Array
}

const PCM = 1
const FLOAT = 3
/** The format proper follows in the chunk's extension. */
const EXTENSIBLE = 0xfffe

/** @param where the file, as it may be printed. @throws TableMalformedError */
export function decodeWav(bytes: Buffer, where: string): Sound {
  const wrong = (why: string): TableMalformedError => new TableMalformedError(where, why)
  if (bytes.length < 12 || bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WAVE') {
    throw wrong('it does not begin as a WAV file does')
  }
  let format: Buffer | undefined
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = bytes.toString('latin1', at, at + 4)
    const size = bytes.readUInt32LE(at + 4)
    // Recorders that were stopped leave a size behind that the file does not have.
    const chunk = bytes.subarray(at + 8, Math.min(bytes.length, at + 8 + size))
    if (name === 'fmt ') format = chunk
    if (name === 'data') return decoded(format, chunk, wrong)
    at += 8 + size + (size % 2)
  }
  throw wrong('it has no samples')
}

function decoded(format: Buffer | undefined, data: Buffer, wrong: (why: string) => TableMalformedError): Sound {
  if (format === undefined || format.length < 16) throw wrong('it does not say what its samples are')
  const first = format.readUInt16LE(0)
  const kind = first === EXTENSIBLE && format.length >= 26 ? format.readUInt16LE(24) : first
  const [channels, rate, bits] = [format.readUInt16LE(2), format.readUInt32LE(4), format.readUInt16LE(14)]
  const read = readerOf(kind, bits)
  if (read === undefined || channels === 0 || rate === 0)
    throw wrong(`samples of ${bits} bits in format ${kind} are not read`)
  const width = bits / 8
  const samples = new Float32Array(Math.floor(data.length / (width * channels)))
  for (let at = 0; at < samples.length; at++) {
    let sum = 0
    for (let channel = 0; channel < channels; channel++) sum += read(data, (at * channels + channel) * width)
    samples[at] = sum / channels
  }
  if (!samples.every(Number.isFinite)) throw wrong('it has a sample that is not finite')
  return { rate, samples }
}

function readerOf(kind: number, bits: number): ((data: Buffer, at: number) => number) | undefined {
  if (kind === FLOAT) return bits === 32 ? (data, at) => data.readFloatLE(at) : undefined
  if (kind !== PCM) return undefined
  if (bits === 8) return (data, at) => (data[at]! - 128) / 128
  if (bits !== 16 && bits !== 24 && bits !== 32) return undefined
  return (data, at) => data.readIntLE(at, bits / 8) / 2 ** (bits - 1)
}
