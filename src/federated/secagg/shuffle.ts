/** Orders that nobody chooses: drawn from the session id, the same for all members. */
import { ascii } from './bytes.ts'
import { maskStream } from './keys.ts'
import type { Primitives } from './primitives.ts'

/** 0 .. count-1 in an order that follows from `sid` and the domain: Fisher-Yates, each index without bias. */
export function shuffledBySession(crypto: Primitives, sid: Uint8Array, domain: string, count: number): number[] {
  const stream = maskStream(crypto, crypto.hkdf(sid, sid, ascii(domain)))
  const nextWord = (): number => {
    const bytes = stream.next(4)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
  }
  const order = Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last >= 1; last--) {
    const fair = Math.floor(2 ** 32 / (last + 1)) * (last + 1)
    let word = nextWord()
    while (word >= fair) word = nextWord()
    const other = word % (last + 1)
    ;[order[last], order[other]] = [order[other]!, order[last]!]
  }
  return order
}
