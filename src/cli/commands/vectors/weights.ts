/** `weights`: a matrix of a GGUF type as the importer reads it: its numbers, and the integers that they are made of. */
import { dequantize, isFloatType, SOURCE_TYPES, sourceBytes, unpackQuants } from '../../../models/index.ts'
import type { SourceType } from '../../../models/index.ts'
import { bytesOf, numbersOf, Refusal, textOf, wholeOf } from './suite.ts'
import type { Suite } from './suite.ts'

/** A matrix whose numbers make some 100 MB of JSON. */
const MAX_ELEMENTS = 1 << 23

export const weightsSuite: Suite = () => (input) => {
  const type = typeOf(textOf(input, 'type'))
  const bytes = bytesOf(input, 'bytes')
  const rows = wholeOf(input, 'rows', 1, MAX_ELEMENTS)
  const columns = wholeOf(input, 'columns', 1, MAX_ELEMENTS)
  const { block } = SOURCE_TYPES[type]
  if (rows * columns > MAX_ELEMENTS)
    throw new Refusal('range', `${rows} x ${columns} are over ${MAX_ELEMENTS} elements`)
  if (columns % block !== 0) throw new Refusal('length', `rows of ${columns} are not whole blocks of ${block}`)
  const needed = sourceBytes(type, rows * columns)
  if (bytes.length !== needed) {
    throw new Refusal('length', `${rows} x ${columns} of ${type} are ${needed} bytes, not ${bytes.length}`)
  }
  const values = numbersOf(dequantize(type, bytes, rows * columns))
  if (isFloatType(type)) return { type, values }
  const { bits, block: group, zero, quants, scales, offsets } = unpackQuants(type, bytes, rows, columns)
  return {
    type,
    values,
    bits,
    block: group,
    zero,
    quants: [...quants],
    scales: numbersOf(scales),
    offsets: offsets === null ? null : numbersOf(offsets),
  }
}

function typeOf(name: string): SourceType {
  if (!Object.hasOwn(SOURCE_TYPES, name)) {
    throw new Refusal('unknown-type', `"${name}" is none of ${Object.keys(SOURCE_TYPES).join(', ')}`)
  }
  return name as SourceType
}
