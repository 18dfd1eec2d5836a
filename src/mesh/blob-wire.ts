/**
 * Messages of `/weft/blobs/2`: a client asks, the server answers one request after the other, in pieces.
 *
 *   type 1 manifest  control {digest}           request = id of the answer's pieces, chosen by the client
 *   type 2 hashes    control {address, bytes}   SHA-256 of each 1 MiB chunk, concatenated
 *   type 3 chunk     control {address, index}
 *   type 4 credit    step = pieces that may follow beyond the first CREDIT_PIECES
 *   type 5 cancel    request = the one that is no longer wanted
 *   type 6 piece     request, step = bytes of the whole answer, position = offset of this piece, payload
 *   type 7 refusal   request (0: the channel itself), control {reason, why}
 *   type 8 have      control {blobs: [address, bytes][]}; the answer is that of `have-map.ts`
 *   type 9 check     control {address, index}: the chunk came without its hash; answer: one byte, 1 if it is sound
 *   type 10 keep     control {blobs: [address, bytes][]}: we would drop these; answer: a byte a blob, 1 if it stays there
 *
 * `/weft/blobs/1` is the same without the types 8 to 10, and serves whole blobs only.
 */
import { z } from 'zod'
import { decodeControl, DTYPE, encodeControl, frame } from '../net/index.ts'
import type { Frame } from '../net/index.ts'
import { isAddress } from '../store/index.ts'
import { answerBytes } from './have-map.ts'
import { MAX_HAVE_BLOBS, MAX_HAVE_BYTES, PIECE_BYTES } from './limits.ts'

export type BlobVersion = 1 | 2

/** This version and the one before; a client tries the newer one first. */
export const BLOB_PROTOCOLS: readonly (readonly [BlobVersion, string])[] = [
  [2, '/weft/blobs/2'],
  [1, '/weft/blobs/1'],
]

export const BLOB = {
  manifest: 1,
  hashes: 2,
  chunk: 3,
  credit: 4,
  cancel: 5,
  piece: 6,
  refusal: 7,
  have: 8,
  check: 9,
  keep: 10,
} as const

export type BlobQuestion =
  | { readonly kind: 'manifest'; readonly digest: string }
  | { readonly kind: 'hashes'; readonly address: string; readonly bytes: number }
  | { readonly kind: 'chunk'; readonly address: string; readonly index: number }
  | { readonly kind: 'have'; readonly blobs: readonly (readonly [address: string, bytes: number])[] }
  | { readonly kind: 'keep'; readonly blobs: readonly (readonly [address: string, bytes: number])[] }
  | { readonly kind: 'check'; readonly address: string; readonly index: number }

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const address = z.string().refine(isAddress)

const haveBlobs = z
  .array(z.tuple([address, count]))
  .min(1)
  .max(MAX_HAVE_BLOBS)
  .refine((blobs) => answerBytes(blobs) <= MAX_HAVE_BYTES)

const QUESTIONS = {
  [BLOB.manifest]: z.strictObject({ digest: z.string().regex(/^[0-9a-f]{64}$/) }),
  [BLOB.hashes]: z.strictObject({ address, bytes: count }),
  [BLOB.chunk]: z.strictObject({ address, index: count }),
  [BLOB.have]: z.strictObject({ blobs: haveBlobs }),
  [BLOB.keep]: z.strictObject({ blobs: haveBlobs }),
  [BLOB.check]: z.strictObject({ address, index: count }),
} as const

const refusal = z.object({ reason: z.enum(['missing', 'busy', 'failed']), why: z.string().max(500) })

export type Refusal = z.infer<typeof refusal>

export function questionFrame(request: number, question: BlobQuestion): Frame {
  const { kind, ...fields } = question
  return frame({ type: BLOB[kind], request, control: encodeControl(fields) })
}

/** Undefined for a frame that is no question of this version. @throws ControlError */
export function readQuestion({ type, control }: Frame, version: BlobVersion): BlobQuestion | undefined {
  if (type === BLOB.manifest) return question('manifest', QUESTIONS[type].safeParse(decodeControl(control)))
  if (type === BLOB.hashes) return question('hashes', QUESTIONS[type].safeParse(decodeControl(control)))
  if (type === BLOB.chunk) return question('chunk', QUESTIONS[type].safeParse(decodeControl(control)))
  if (version === 1) return undefined
  if (type === BLOB.have) return question('have', QUESTIONS[type].safeParse(decodeControl(control)))
  if (type === BLOB.keep) return question('keep', QUESTIONS[type].safeParse(decodeControl(control)))
  if (type === BLOB.check) return question('check', QUESTIONS[type].safeParse(decodeControl(control)))
  return undefined
}

function question(kind: BlobQuestion['kind'], result: { success: boolean; data?: object }): BlobQuestion | undefined {
  return result.success ? ({ kind, ...result.data } as BlobQuestion) : undefined
}

export function* pieceFrames(request: number, answer: Uint8Array): Generator<Frame> {
  for (let at = 0; at === 0 || at < answer.length; at += PIECE_BYTES) {
    const payload = answer.subarray(at, at + PIECE_BYTES)
    const dims = [payload.length]
    yield frame({ type: BLOB.piece, request, step: answer.length, position: at, dtype: DTYPE.bytes, dims, payload })
  }
}

export function refusalFrame(request: number, { reason, why }: Refusal): Frame {
  return frame({ type: BLOB.refusal, request, control: encodeControl({ reason, why: why.slice(0, 500) }) })
}

/** Undefined when it is none. @throws ControlError */
export function readRefusal(control: Uint8Array): Refusal | undefined {
  const result = refusal.safeParse(decodeControl(control))
  return result.success ? result.data : undefined
}

export function creditFrame(pieces: number): Frame {
  return frame({ type: BLOB.credit, step: pieces })
}

export function cancelFrame(request: number): Frame {
  return frame({ type: BLOB.cancel, request })
}
