/**
 * Files of a home that carry a sum of what they hold: a bit that turned on the disk in a date or a number is as good a date or
 * number. A file without one is taken as it is: programs from before there were sums wrote it, or a person.
 */
import { createHash } from 'node:crypto'

const FIELD = 'sum'
/** Before the sum and the bytes of a file that is no text. */
const MAGIC = Buffer.from('weft sum/1\n')
const SUM_BYTES = 32

/** Of whoever reads the file: it is for them to say what it means. */
export class SumMismatchError extends Error {
  constructor() {
    super(`its sum is not that of what it holds: damaged, or changed by hand (then take out its field "${FIELD}")`)
  }
}

/** The text of a file that holds this, with its sum as the last field. */
export function summedJson(value: object): string {
  return `${JSON.stringify({ ...value, [FIELD]: sumOf(value) }, null, 2)}\n`
}

/** What such a text holds, without its sum. @throws SumMismatchError; SyntaxError: it is no JSON */
export function readSummedJson(text: string): unknown {
  const value = JSON.parse(text) as unknown
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, FIELD)) return value
  const { [FIELD]: sum, ...rest } = value as Readonly<Record<string, unknown>>
  if (sum !== sumOf(rest)) throw new SumMismatchError()
  return rest
}

/** The same of bytes: the sum goes before them. */
export function summedBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([MAGIC, createHash('sha256').update(bytes).digest(), bytes])
}

/** @throws SumMismatchError */
export function readSummedBytes(file: Uint8Array): Uint8Array {
  if (!MAGIC.equals(file.subarray(0, MAGIC.length))) return file
  const bytes = file.subarray(MAGIC.length + SUM_BYTES)
  const sum = createHash('sha256').update(bytes).digest()
  if (!sum.equals(file.subarray(MAGIC.length, MAGIC.length + SUM_BYTES))) throw new SumMismatchError()
  return bytes
}

function sumOf(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}
