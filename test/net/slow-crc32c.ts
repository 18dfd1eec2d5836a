/** CRC-32C byte-wise sliced by eight: the plain form that the quick one of the net room is held against. */

const TABLES = makeTables()

function makeTables(): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256))
  const first = tables[0]!
  for (let value = 0; value < 256; value++) {
    let crc = value
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    first[value] = crc >>> 0
  }
  for (let table = 1; table < 8; table++) {
    for (let value = 0; value < 256; value++) {
      const previous = tables[table - 1]![value]!
      tables[table]![value] = ((previous >>> 8) ^ first[previous & 255]!) >>> 0
    }
  }
  return tables
}

/** The checksum of `bytes`, going on from `seed` (the checksum of what came before). */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  let crc = ~seed
  let at = 0
  const end8 = bytes.length - (bytes.length % 8)
  while (at < end8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      t7[low & 255]! ^
      t6[(low >>> 8) & 255]! ^
      t5[(low >>> 16) & 255]! ^
      t4[low >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!
    at += 8
  }
  while (at < bytes.length) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at++]!) & 255]!
  return ~crc >>> 0
}
