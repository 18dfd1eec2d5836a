/** float16 and bfloat16 to float32, exactly. */

let table: Float32Array | undefined

/** The float32 of each of the 65,536 float16 bit patterns: 256 KiB, made when it is first needed. */
export function halfTable(): Float32Array {
  table ??= makeTable()
  return table
}

function makeTable(): Float32Array {
  const values = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >>> 10) & 31
    const fraction = bits & 1023
    let value: number
    if (exponent === 0) value = fraction * 2 ** -24
    else if (exponent === 31) value = fraction === 0 ? Infinity : NaN
    else value = (1 + fraction / 1024) * 2 ** (exponent - 15)
    values[bits] = bits >= 32768 ? -value : value
  }
  return values
}

export function halvesToFloats(bytes: Uint8Array): Float32Array {
  const halves = halfTable()
  const out = new Float32Array(bytes.length >>> 1)
  for (let index = 0; index < out.length; index++)
    out[index] = halves[bytes[2 * index]! | (bytes[2 * index + 1]! << 8)]!
  return out
}

/** bfloat16 is the upper half of a float32. */
export function bfloatsToFloats(bytes: Uint8Array): Float32Array {
  const bits = new Uint32Array(bytes.length >>> 1)
  for (let index = 0; index < bits.length; index++) {
    bits[index] = (bytes[2 * index]! << 16) | (bytes[2 * index + 1]! << 24)
  }
  return new Float32Array(bits.buffer)
}

const word = new DataView(new ArrayBuffer(4))

/** Bits of the nearest float16, ties to even; beyond its range infinity. Node before 24 has no Float16Array. */
export function floatsToHalves(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length)
  for (let index = 0; index < values.length; index++) out[index] = floatToHalf(values[index]!)
  return out
}

function floatToHalf(value: number): number {
  word.setFloat32(0, value)
  const bits = word.getUint32(0)
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) return sign | roundEven(Math.abs(value) * 2 ** 24)
  // Rebias the exponent from 127 to 15, and round away 13 bits of fraction; a carry runs into the exponent as it should.
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)
  return sign | (rounded >>> 13)
}

function roundEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
