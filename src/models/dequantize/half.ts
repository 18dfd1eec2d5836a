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
