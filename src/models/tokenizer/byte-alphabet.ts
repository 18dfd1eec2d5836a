/**
 * GPT-2's alphabet: each byte as one printable character, so that merges can be written as text. Bytes that print keep
 * their own code point, the others are numbered from U+0100 up (openai/gpt-2, `encoder.py`, `bytes_to_unicode`).
 */

function prints(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
}

function makeAlphabet(): readonly string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++))
}

/** The character of each byte. */
export const BYTE_TO_CHARACTER: readonly string[] = makeAlphabet()

/** Bytes as text in this alphabet. */
export function byteText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => BYTE_TO_CHARACTER[byte]!).join('')
}

const CHARACTER_TO_BYTE: ReadonlyMap<number, number> = new Map(
  BYTE_TO_CHARACTER.map((character, byte) => [character.charCodeAt(0), byte]),
)

/** Bytes of a token in this alphabet, or null when a character is not of it. */
export function alphabetBytes(token: string): Uint8Array | null {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = CHARACTER_TO_BYTE.get(token.charCodeAt(i))
    if (byte === undefined) return null
    bytes[i] = byte
  }
  return bytes
}
