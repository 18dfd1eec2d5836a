/** How an error is told to another process. */
import { errorData } from '../errors.ts'
import { encodeControl } from '../net/index.ts'

/** Characters of each of its texts; a message may name what a request said, at any length. Receivers refuse more. */
export const MAX_TOLD = 4096

/** An error's facts as a control map; details that do not fit one are left out. */
export function errorControl(error: unknown): Uint8Array {
  const { code, message, why, hint, details } = errorData(error)
  const texts = { code, message: cut(message), why: why && cut(why), hint: hint && cut(hint) }
  try {
    return encodeControl({ ...texts, details })
  } catch {
    return encodeControl({ ...texts, details: {} })
  }
}

/** A text as it is told. Half a character would be read as three. */
export function cut(text: string): string {
  return text.slice(0, MAX_TOLD).toWellFormed()
}
