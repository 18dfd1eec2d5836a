/** Arrays as NumPy writes those whose first axis changes fastest: `numpy.save(path, numpy.asfortranarray(x))`. */
import { dtypeOf } from '../../src/data/numpy/dtype.ts'
import { writeHeader } from '../../src/data/numpy/header.ts'
import type { Tensor } from '../../src/onnx/index.ts'

/** @param isBig the other order of bytes */
export function fortranNpy({ type, dims, data }: Tensor, isBig = false): Buffer {
  const size = data.BYTES_PER_ELEMENT
  const descr = isBig ? dtypeOf(type).replace('<', '>') : dtypeOf(type)
  const header = Buffer.from(writeHeader(descr, dims)).toString('latin1')
  const text = header.replace("'fortran_order': False", "'fortran_order': True ")
  const from = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const to = Buffer.alloc(from.length)
  for (let at = 0; at < data.length; at++) {
    let [rest, place, stride] = [at, 0, data.length]
    for (const dim of dims.toReversed()) {
      stride /= dim
      place += (rest % dim) * stride
      rest = Math.floor(rest / dim)
    }
    const element = Buffer.from(from.subarray(at * size, (at + 1) * size))
    to.set(isBig ? element.reverse() : element, place * size)
  }
  return Buffer.concat([Buffer.from(text, 'latin1'), to])
}
