/** Parts under a head that says how long each is, signed as a whole: magic, u32 length, the head in canonical JSON, the parts, signature. */
import type { z } from 'zod'
import { canonicalJson } from '../../util/index.ts'
import { VectorLengthError } from '../errors.ts'
import { ascii, concat, u32 } from '../secagg/bytes.ts'

const SIGNATURE_BYTES = 64

/** What these bytes are, and how large their head may be. */
export interface Form<Head> {
  readonly magic: string
  readonly head: z.ZodType<Head>
  readonly mostHead: number
}

export function isOfForm({ magic }: Form<unknown>, bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, magic.length), ascii(magic)) === 0
}

/** @param sign undefined: they are a part of what is signed, and their own signature is zeros */
export function signedParts(
  { magic }: Form<unknown>,
  head: unknown,
  parts: readonly Uint8Array[],
  sign?: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  const text = ascii(canonicalJson(head))
  const bytes = concat(ascii(magic), u32(text.length), text, ...parts, new Uint8Array(SIGNATURE_BYTES))
  if (sign !== undefined) bytes.set(sign(bytes.subarray(0, -SIGNATURE_BYTES)), bytes.length - SIGNATURE_BYTES)
  return bytes
}

export interface OpenedParts<Head> {
  readonly head: Head
  /** The next part. @throws VectorLengthError: there is not so much */
  take(size: number): Uint8Array
  /** Once all parts are taken. @throws VectorLengthError: something else follows */
  end(): { readonly signed: Uint8Array; readonly signature: Uint8Array }
}

/** @throws VectorLengthError: the bytes are not of this form */
export function openedParts<Head>(form: Form<Head>, bytes: Uint8Array): OpenedParts<Head> {
  const { magic, head, mostHead } = form
  const from = magic.length + 4
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length < from ? Number.POSITIVE_INFINITY : view.getUint32(magic.length)
  if (!isOfForm(form, bytes) || length > mostHead || from + length > bytes.length) {
    throw new VectorLengthError(`these bytes are no "${magic}"`)
  }
  let at = from + length
  const take = (size: number): Uint8Array => {
    if (at + size > bytes.length) throw new VectorLengthError('a transcript is cut short')
    return bytes.subarray(at, (at += size))
  }
  return {
    head: headOf(head, bytes.subarray(from, from + length)),
    take,
    end() {
      const signed = bytes.subarray(0, at)
      const signature = take(SIGNATURE_BYTES)
      if (at !== bytes.length) throw new VectorLengthError('bytes follow a transcript')
      return { signed, signature }
    },
  }
}

function headOf<Head>(head: z.ZodType<Head>, bytes: Uint8Array): Head {
  try {
    return head.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (error) {
    throw new VectorLengthError(`the head of a transcript is none: ${(error as Error).message.slice(0, 200)}`)
  }
}
