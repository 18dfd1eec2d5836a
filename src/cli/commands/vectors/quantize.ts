/** `quantize`: reals as integers, integers as packed bits, and both back. */
import {
  checkEncoding,
  decodeWords,
  leastBits,
  pack,
  ParameterRangeError,
  roundStochastic,
  uniformOf,
  unpack,
} from '../../../federated/index.ts'
import { optionalReals, realOf, realsOf } from './numbers.ts'
import { bytesOf, hexOf, Refusal, wholeOf } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

const U32 = 0xffffffff
/** Words whose JSON is some 100 MB. */
const MAX_WORDS = 1 << 23

const OPS: Readonly<Record<string, (input: VectorCase) => VectorCase>> = {
  round(input) {
    const x = realsOf(input, 'x')
    const encoding = { f: wholeOf(input, 'f', -U32, U32), c: realOf(input, 'c') }
    checkEncoding(encoding)
    const u = optionalReals(input, 'u')
    const uniform = u === undefined ? () => 0.5 : uniformOf(u, x.length)
    // minus zero has no place among integers
    return { q: x.map((value, index) => roundStochastic(value, uniform(index), encoding, index) + 0) }
  },
  pack(input) {
    const bits = bitsOf(input)
    const words = realsOf(input, 'words').map((word, index) => {
      if (Number.isInteger(word) && word >= 0 && word <= U32) return word
      throw new ParameterRangeError(`word ${index} is no unsigned integer of 32 bits`, { index })
    })
    return { bytes: hexOf(pack(Uint32Array.from(words), bits)) }
  },
  unpack(input) {
    const bits = bitsOf(input)
    const d = wholeOf(input, 'd', 0, MAX_WORDS)
    return { words: [...unpack(bytesOf(input, 'bytes'), bits, d)] }
  },
  decode(input) {
    return {
      values: [...decodeWords(realsOf(input, 'words'), bitsOf(input), wholeOf(input, 'f', 0, 0xff))],
    }
  },
  bits(input) {
    const encoding = { f: wholeOf(input, 'f', -U32, U32), c: realOf(input, 'c') }
    return { bits: leastBits(realOf(input, 'n'), encoding, realOf(input, 'noise_sd', 0)) }
  },
}

export const quantizeSuite: Suite = () => (input) => {
  const op = typeof input['op'] === 'string' && Object.hasOwn(OPS, input['op']) ? OPS[input['op']] : undefined
  if (op === undefined) throw new Refusal('malformed', `"op" is none of ${Object.keys(OPS).join(', ')}`)
  return op(input)
}

function bitsOf(input: VectorCase): number {
  return wholeOf(input, 'bits', 1, 32)
}
