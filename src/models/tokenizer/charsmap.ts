/**
 * SentencePiece's `precompiled_charsmap`: which characters become which, as a double-array trie (Aoe, 1989; Darts-clone's
 * units of 32 bits) over UTF-8, and the texts that it leads to, each ended by a NUL. It is looked up for what people see
 * as one character where that is short, else code point by code point, as Hugging Face's tokenizers do.
 */
import { TokenizerDefinitionError } from './errors.ts'
import { MAX_CHARSMAP_BYTES } from './limits.ts'

/** Bytes of a cluster that is looked up whole. */
const WHOLE_BYTES = 6
/** What may be more than one code point: not ASCII, with what stands beside it; and a line's end. */
const REGIONS = /(?:\r\n|[\0-\x7f])?[^\0-\x7f]+(?:(?:\r\n|[\0-\x7f])[^\0-\x7f]+)*(?:\r\n|[\0-\x7f])?|\r\n/gu
/** Clusters are looked for in pieces: one of a million marks would take the square of its length. */
const REGION_UNITS = 1_024

/** @param map base64. @throws TokenizerDefinitionError */
export function createCharsmap(map: string): (text: string) => string {
  const { units, texts } = parse(map)
  const find = (text: string): string | null => lookUp(units, texts, Buffer.from(text))
  // What one code point becomes never changes.
  const known = new Map<string, string>()
  const single = (character: string): string => {
    const found = known.get(character)
    if (found !== undefined) return found
    const made = find(character) ?? character
    known.set(character, made)
    return made
  }
  const keepsAscii = !changesAscii(single)
  const plain = (text: string): string =>
    keepsAscii && /^[\x20-\x7e]*$/.test(text) ? text : Array.from(text, single).join('')
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })
  const cluster = (text: string): string => {
    const whole = text.length > 1 && Buffer.byteLength(text) < WHOLE_BYTES ? find(text) : null
    return whole ?? Array.from(text, single).join('')
  }
  const region = (text: string): string =>
    Array.from(segmenter.segment(text), ({ segment }) => cluster(segment)).join('')
  return (text) => {
    let made = ''
    let done = 0
    for (const { 0: found, index } of text.matchAll(REGIONS)) {
      made += plain(text.slice(done, index)) + inPieces(found, region)
      done = index + found.length
    }
    return made + plain(text.slice(done))
  }
}

function changesAscii(single: (character: string) => string): boolean {
  for (let code = 0x20; code < 0x7f; code++) {
    const character = String.fromCharCode(code)
    if (single(character) !== character) return true
  }
  return false
}

function inPieces(text: string, action: (piece: string) => string): string {
  let made = ''
  for (let at = 0; at < text.length;) {
    let end = Math.min(at + REGION_UNITS, text.length)
    if (end < text.length && isLead(text.charCodeAt(end - 1))) end -= 1
    made += action(text.slice(at, end))
    at = end
  }
  return made
}

function isLead(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

function parse(map: unknown): { readonly units: Uint32Array; readonly texts: Buffer } {
  if (typeof map !== 'string' || map.length > (MAX_CHARSMAP_BYTES * 4) / 3)
    throw new TokenizerDefinitionError(`its map of characters is no text of at most ${MAX_CHARSMAP_BYTES} bytes`)
  const bytes = Buffer.from(map, 'base64')
  const length = bytes.length < 4 ? -1 : bytes.readUInt32LE(0)
  if (length < 4 || length % 4 !== 0 || 4 + length > bytes.length)
    throw new TokenizerDefinitionError('its map of characters is cut off')
  const units = Uint32Array.from({ length: length / 4 }, (_, index) => bytes.readUInt32LE(4 + 4 * index))
  const texts = bytes.subarray(4 + length)
  // Each text is read up to its NUL.
  if (texts.length === 0 || texts.at(-1) !== 0) throw new TokenizerDefinitionError('its map of characters has no end')
  return { units, texts }
}

/** What the shortest beginning of `key` that the trie has becomes, as the reference takes it; null: none. */
function lookUp(units: Uint32Array, texts: Buffer, key: Uint8Array): string | null {
  let node = offsetOf(units[0]!)
  for (const byte of key) {
    if (byte === 0) return null
    node ^= byte
    const unit = units[node]
    if (unit === undefined || labelOf(unit) !== byte) return null
    node ^= offsetOf(unit)
    if (((unit >>> 8) & 1) === 0) continue
    const start = (units[node] ?? 0) & 0x7fff_ffff
    const end = texts.indexOf(0, start)
    return end < 0 ? null : texts.toString('utf8', start, end)
  }
  return null
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6)
}

function labelOf(unit: number): number {
  return (unit & 0x8000_00ff) >>> 0
}
