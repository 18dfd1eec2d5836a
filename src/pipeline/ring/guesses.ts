/**
 * Guesses at the tokens behind a row, which travel with their rows to the head: it takes a guess for true while it is what it
 * would have chosen. They are sealed, since nobody but head and origin is handed token ids (DESIGN decision 6); the key is in
 * the head's opening.
 *
 * A window may be sent before it is known what came of the one before it. It is chained to that: its first row stands for a guess
 * too, and where the head chose something else behind the row before, the window comes to nothing.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { CipherGCMTypes } from 'node:crypto'
import { z } from 'zod'
import { decodeControl, encodeControl } from '../../net/index.ts'
import type { RandomSource } from '../../util/index.ts'

/** In one window. One of 16 rows costs a stage little more than one row where it pays, and is never long in its way. */
export const MAX_GUESSES = 15
export const GUESS_KEY_BYTES = 32

const CIPHER = 'chacha20-poly1305' as unknown as CipherGCMTypes
const NONCE_BYTES = 12
const TAG_BYTES = 16
const TAG = { authTagLength: TAG_BYTES }
/** Of the control map that carries them: what is larger is none. */
const MAX_BYTES = 256

const schema = z.strictObject({ guesses: z.instanceof(Uint8Array) })

export interface Guesses {
  /** At the tokens behind the rows, all but the last of them. */
  readonly ids: readonly number[]
  /** Of a chained window: the token that its first row stands for. */
  readonly behind?: number | undefined
}

/** The control map of rows; bound to their position, so that it says nothing of other rows. */
export function sealGuesses(
  key: Uint8Array,
  random: RandomSource,
  position: number,
  { ids, behind }: Guesses,
): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce, TAG)
  // A negative number marks what is chained: heads of a version that knows no chains refuse it.
  const content = behind === undefined ? [position, ...ids] : [~position, behind, ...ids]
  const plain = Buffer.from(Int32Array.from(content).buffer)
  const sealed = [nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]
  return encodeControl({ guesses: Buffer.concat(sealed) })
}

/** Undefined: they are none of the origin's for this position. */
export function openGuesses(key: Uint8Array, position: number, control: Uint8Array): Guesses | undefined {
  try {
    if (control.length > MAX_BYTES) return undefined
    const { guesses } = schema.parse(decodeControl(control))
    const decipher = createDecipheriv(CIPHER, key, guesses.subarray(0, NONCE_BYTES), TAG)
    decipher.setAuthTag(guesses.subarray(-TAG_BYTES))
    const plain = Buffer.concat([decipher.update(guesses.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
    const [at, ...all] = Array.from({ length: plain.length / 4 }, (_, index) => plain.readInt32LE(4 * index))
    const [behind, ids] = at === ~position ? [all[0], all.slice(1)] : [undefined, all]
    const isEmpty = behind === undefined && ids.length === 0
    return (at === position || at === ~position) && !isEmpty && ids.length <= MAX_GUESSES ? { ids, behind } : undefined
  } catch {
    return undefined
  }
}

/** What a hop passes on without reading it. */
export function carried(control: Uint8Array): Uint8Array {
  return control.length > MAX_BYTES ? new Uint8Array(0) : control
}
