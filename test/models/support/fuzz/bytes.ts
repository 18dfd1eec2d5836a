/** A GGUF file bent byte by byte: what comes out is seldom a file any more. */
import { u32, u64 } from '../gguf-writer.ts'
import type { Random } from './random.ts'

const WIDE = [0n, 1n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 61n, 97n]
const NARROW = [0, 1, 7, 8, 9, 13, 255, 65_536, 0x7fffffff, 0x80000000, 0xffffffff]

type Bend = (bytes: Uint8Array, at: number, random: Random) => Uint8Array

const BENDS: Readonly<Record<string, Bend>> = {
  bit: (bytes, at, random) => put(bytes, at, Uint8Array.of(bytes[at]! ^ (1 << random.whole(8)))),
  byte: (bytes, at, random) => put(bytes, at, Uint8Array.of(random.whole(256))),
  u32: (bytes, at, random) => put(bytes, at, u32(random.pick(NARROW))),
  u64: (bytes, at, random) => put(bytes, at, u64(random.pick(WIDE))),
  cut: (bytes, at) => bytes.slice(0, at),
  remove: (bytes, at, random) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.whole(64))]),
  repeat: (bytes, at, random) => {
    const end = at + 1 + random.whole(64)
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
  },
  zero: (bytes, at, random) => put(bytes, at, new Uint8Array(1 + random.whole(32))),
}

function put(bytes: Uint8Array, at: number, piece: Uint8Array): Uint8Array {
  const out = Uint8Array.from(bytes)
  out.set(piece.subarray(0, out.length - at), at)
  return out
}

/** One to four bends within the first `head` bytes: most in the first few hundred, where counts and types are. */
export function bendBytes(file: Uint8Array, head: number, random: Random): { bytes: Uint8Array; what: string } {
  let bytes = file
  const what: string[] = []
  for (let left = 1 + random.whole(4); left > 0; left--) {
    const most = Math.min(random.once(2) ? 400 : head, bytes.length)
    if (most === 0) break
    const at = random.whole(most)
    const name = random.pick(Object.keys(BENDS))
    bytes = BENDS[name]!(bytes, at, random)
    what.push(`${name}@${at}`)
  }
  return { bytes, what: what.join(' ') }
}
