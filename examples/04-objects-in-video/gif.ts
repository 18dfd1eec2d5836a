/** Frames of an animated GIF: a video that needs no codec. */

export interface Frame {
  readonly width: number
  readonly height: number
  /** [height][width] of red, green, blue. */
  readonly rgb: Uint8Array
}

/** Pictures that are larger are not decoded. */
const MAX_PIXELS = 1 << 24

/**
 * One frame after the other, each as it is seen: what a frame leaves out stays from the one before. A frame that takes
 * itself away again ("disposal" 2 and 3) is not known here, videos do not use it.
 * @throws Error where the file is no GIF or ends early
 */
export function* framesOf(file: Buffer): Generator<Frame> {
  if (!/^GIF8[79]a/.test(file.toString('latin1', 0, 6))) throw new Error('it is not a GIF')
  const [width, height] = [file.readUInt16LE(6), file.readUInt16LE(8)]
  if (width * height > MAX_PIXELS) throw new Error(`a picture of ${width} by ${height} is too large`)
  let at = 13
  /** A palette of 2 to 256 colours follows where the top bit of `flags` is set. */
  const palette = (flags: number): Buffer | null => {
    if ((flags & 0x80) === 0) return null
    const from = at
    at += 3 * (2 << (flags & 7))
    return file.subarray(from, at)
  }
  const blocks = (): Buffer => {
    const parts: Buffer[] = []
    for (let size = file[at++]; size !== undefined && size > 0; size = file[at++]) {
      parts.push(file.subarray(at, at + size))
      at += size
    }
    return Buffer.concat(parts)
  }

  const shared = palette(file[10]!)
  const rgb = new Uint8Array(width * height * 3)
  let transparent = -1
  for (;;) {
    const kind = file[at++]
    if (kind === undefined) throw new Error('the GIF ends early')
    if (kind === 0x3b) return
    if (kind === 0x21) {
      const control = file[at++] === 0xf9
      const content = blocks()
      if (control) transparent = (content[0]! & 1) === 1 ? content[3]! : -1
      continue
    }
    if (kind !== 0x2c || at + 9 > file.length) throw new Error('the GIF is damaged')
    const [left, top, wide, high] = [0, 2, 4, 6].map((step) => file.readUInt16LE(at + step)) as [
      number,
      number,
      number,
      number,
    ]
    const flags = file[at + 8]!
    at += 9
    if ((flags & 0x40) !== 0 || left + wide > width || top + high > height)
      throw new Error('such a GIF is not read here')
    const colours = palette(flags) ?? shared
    const codeSize = file[at++] ?? 0
    const indices = unpack(blocks(), codeSize, wide * high)
    for (let pixel = 0; pixel < indices.length; pixel++) {
      const colour = indices[pixel]!
      if (colour === transparent || colours === null) continue
      const target = 3 * ((top + Math.floor(pixel / wide)) * width + left + (pixel % wide))
      rgb.set(colours.subarray(3 * colour, 3 * colour + 3), target)
    }
    transparent = -1
    yield { width, height, rgb: rgb.slice() }
  }
}

/** LZW as GIF has it: codes grow from `codeSize` + 1 to 12 bits, low bits first; one code empties the table, one ends. */
function unpack(packed: Uint8Array, codeSize: number, count: number): Uint8Array {
  if (codeSize < 2 || codeSize > 8) throw new Error('the GIF is damaged')
  const pixels = new Uint8Array(count)
  const clear = 1 << codeSize
  // A code stands for the pixels of an earlier code and one pixel more; its length says where it begins.
  const [before, last, lengths] = [new Uint16Array(4096), new Uint8Array(4096), new Uint16Array(4096)]
  for (let code = 0; code < clear; code++) [last[code], lengths[code]] = [code, 1]
  let [bits, next, previous, filled] = [codeSize + 1, clear + 2, -1, 0]
  let [held, holding] = [0, 0]
  for (const byte of packed) {
    held |= byte << holding
    holding += 8
    while (holding >= bits) {
      const code = held & ((1 << bits) - 1)
      held >>>= bits
      holding -= bits
      if (code === clear + 1 || filled === count) return pixels
      if (code === clear) {
        ;[bits, next, previous] = [codeSize + 1, clear + 2, -1]
        continue
      }
      if (code > next || (previous < 0 && code >= clear)) throw new Error('the GIF is damaged')
      // The one code that may be used before it is known: the pixels of the previous one, and the first of them again.
      const known = code < next ? code : previous
      const length = lengths[known]!
      let one = known
      for (let place = length - 1; place >= 0; place--) {
        if (filled + place < count) pixels[filled + place] = last[one]!
        if (place > 0) one = before[one]!
      }
      const first = last[one]!
      filled = Math.min(filled + length, count)
      if (code === next && previous >= 0 && filled < count) pixels[filled++] = first
      if (previous >= 0 && next < 4096) {
        ;[before[next], last[next], lengths[next]] = [previous, first, lengths[previous]! + 1]
        next++
        if (next === 1 << bits && bits < 12) bits++
      }
      previous = code
    }
  }
  return pixels
}
