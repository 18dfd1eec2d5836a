/** Ids of words seen before. Emptied when full: cheaper than keeping an order of use, and as good on natural text. */
import { MAX_CACHED_WORD_LENGTH, MAX_CACHED_WORDS } from './limits.ts'

/** Wraps `encode`, so that a short word is encoded once. */
export function cachedByWord(encode: (word: string) => readonly number[]): (word: string) => readonly number[] {
  const known = new Map<string, readonly number[]>()
  return (word) => {
    if (word.length > MAX_CACHED_WORD_LENGTH) return encode(word)
    const found = known.get(word)
    if (found !== undefined) return found
    const ids = encode(word)
    if (known.size >= MAX_CACHED_WORDS) known.clear()
    known.set(ownCopy(word), ids)
    return ids
  }
}

/** A word cut from a long text may be a view that keeps the whole text in memory. */
function ownCopy(word: string): string {
  return Buffer.from(word, 'utf16le').toString('utf16le')
}
