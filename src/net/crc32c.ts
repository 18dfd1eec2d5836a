/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), slicing by sixteen over whole words: about 1.1 GB/s in V8, four times
 * what reading byte by byte gives. A frame is summed twice a hop, so this is most of the cost of a large one.
 */

const SLICES = 16
const TABLE = makeTable()
/** Words are read in the machine's order; the sliced loop is for the usual one. */
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

/** Table `k` (at 256 k) advances a byte over `k` zero bytes. */
function makeTable(): Uint32Array {
  const table = new Uint32Array(SLICES * 256)
  for (let value = 0; value < 256; value++) {
    let crc = value
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    table[value] = crc
  }
  for (let at = 256; at < table.length; at++) {
    const before = table[at - 256]!
    table[at] = (before >>> 8) ^ table[before & 255]!
  }
  return table
}

/** The checksum of `bytes`, going on from `seed` (the checksum of what came before). */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const t = TABLE
  let crc = ~seed
  let at = 0
  const misaligned = (4 - (bytes.byteOffset & 3)) & 3
  const head = LITTLE_ENDIAN ? Math.min(misaligned, bytes.length) : bytes.length
  while (at < head) crc = (crc >>> 8) ^ t[(crc ^ bytes[at++]!) & 255]!
  const words = (bytes.length - at) >>> 2
  const whole = words - (words % 4)
  if (whole > 0) {
    const view = new Uint32Array(bytes.buffer, bytes.byteOffset + at, whole)
    for (let word = 0; word < whole; word += 4) {
      const a = view[word]! ^ crc
      const b = view[word + 1]!
      const c = view[word + 2]!
      const d = view[word + 3]!
      crc =
        t[3840 + (a & 255)]! ^
        t[3584 + ((a >>> 8) & 255)]! ^
        t[3328 + ((a >>> 16) & 255)]! ^
        t[3072 + (a >>> 24)]! ^
        t[2816 + (b & 255)]! ^
        t[2560 + ((b >>> 8) & 255)]! ^
        t[2304 + ((b >>> 16) & 255)]! ^
        t[2048 + (b >>> 24)]! ^
        t[1792 + (c & 255)]! ^
        t[1536 + ((c >>> 8) & 255)]! ^
        t[1280 + ((c >>> 16) & 255)]! ^
        t[1024 + (c >>> 24)]! ^
        t[768 + (d & 255)]! ^
        t[512 + ((d >>> 8) & 255)]! ^
        t[256 + ((d >>> 16) & 255)]! ^
        t[d >>> 24]!
    }
    at += 4 * whole
  }
  while (at < bytes.length) crc = (crc >>> 8) ^ t[(crc ^ bytes[at++]!) & 255]!
  return ~crc >>> 0
}
