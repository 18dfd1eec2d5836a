/** `shamir`: secrets into shares, and back. */
import { combine, split } from '../../../federated/index.ts'
import type { Share } from '../../../federated/index.ts'
import { asObject, listOf } from './numbers.ts'
import { asBytes, bytesOf, hexOf, Refusal, wholeOf } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

const U32 = 0xffffffff

export const shamirSuite: Suite = () => (input) => {
  if (input['op'] === 'split') return splitCase(input)
  if (input['op'] === 'combine') return { secret: hexOf(combine(listOf(input, 'shares').map(shareOf))) }
  throw new Refusal('malformed', '"op" is neither split nor combine')
}

function splitCase(input: VectorCase): VectorCase {
  const coefficients = listOf(input, 'coefficients').map((one) => asBytes(one, 'coefficients'))
  const shares = split(bytesOf(input, 'secret'), wholeOf(input, 'n', 0, U32), wholeOf(input, 't', 0, U32), coefficients)
  return {
    shares: shares.map(({ x, y }) => ({ x, y: hexOf(y) })),
    appended: shares.map(({ x, y }) => hexOf(Uint8Array.of(...y, x))),
  }
}

/** `{"x","y"}`, or y with x as its last byte. */
function shareOf(value: unknown): Share {
  if (typeof value === 'string') {
    const bytes = asBytes(value, 'shares')
    if (bytes.length === 0) throw new Refusal('length', 'a share has no byte')
    return { x: bytes.at(-1)!, y: bytes.subarray(0, -1) }
  }
  const share = asObject(value, 'shares')
  return { x: wholeOf(share, 'x', -U32, U32), y: bytesOf(share, 'y') }
}
