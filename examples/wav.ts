/** Speech from a WAV file. */
import { readFile } from 'node:fs/promises'

/** Samples a second: what speech models are trained on. */
export const RATE = 16_000

/**
 * The samples of a PCM file of 16 bits, one channel and 16 kHz, from -1 to 1.
 * @throws Error where it is another kind of file
 */
export async function readWav(path: string): Promise<Float32Array> {
  const file = await readFile(path)
  if (file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw new Error(`${path} is not a WAV file`)
  }
  let plain = false
  // Chunks: four letters, the length, the content, and a byte more where the length is odd.
  for (let at = 12; at + 8 <= file.length;) {
    const [name, start] = [file.toString('latin1', at, at + 4), at + 8]
    const end = Math.min(start + file.readUInt32LE(at + 4), file.length)
    if (name === 'fmt ' && end - start >= 16) {
      const format = [file.readUInt16LE(start), file.readUInt16LE(start + 2), file.readUInt32LE(start + 4)]
      plain = format.join() === [1, 1, RATE].join() && file.readUInt16LE(start + 14) === 16
    }
    if (name === 'data' && plain) {
      return Float32Array.from(
        { length: (end - start) >> 1 },
        (_, index) => file.readInt16LE(start + 2 * index) / 32_768,
      )
    }
    at = end + ((end - start) & 1)
  }
  throw new Error(`${path}: PCM of 16 bits, one channel and ${RATE} Hz is needed`)
}
