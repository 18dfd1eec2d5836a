/** Texts as windows of tokens, each with the token that follows: what a language model goes on being trained on. */
import { StringDecoder } from 'node:string_decoder'
import { RowPacker } from '../rows/packed-rows.ts'
import { asBytes } from '../rows/rows.ts'
import type { Rows } from '../rows/rows.ts'
import { asTokens, piecesOf } from './text.ts'
import type { TextRequest } from './text.ts'

export interface TokenRequest extends TextRequest {
  /** Tokens of a window. */
  readonly length: number
  encode(text: string): readonly number[]
  /** Stands behind each text; null: nothing does. */
  readonly end: number | null
}

/** Characters of a plain text that are made into tokens at once; it is cut behind the end of a line. */
const PIECE = 1 << 16
/** A line that is longer is cut too, before a blank where it has one: a text without line ends is not held whole. */
const LONGEST_LINE = 1 << 20

/** `x` and `target`, int64 [length] each: a window, and the same one token later. What is over at the end is left out. */
export async function readTokens(request: TokenRequest, signal?: AbortSignal): Promise<Rows> {
  const { length, end } = request
  const fields = [{ name: 'window', type: 'int32', dims: [length + 1] }] as const
  const packer = new RowPacker({ fields, memory: request.memory, folder: request.folder })
  let rest: number[] = []
  const add = async (ids: readonly number[]): Promise<void> => {
    rest = rest.concat(ids)
    let at = 0
    for (; at + length < rest.length; at += length) {
      const window = Int32Array.from(rest.slice(at, at + length + 1))
      await packer.add([asBytes({ type: 'int32', dims: [length + 1], data: window })])
    }
    rest = rest.slice(at)
  }
  try {
    for (const path of request.paths) {
      for await (const text of textsOf(path, request.field, signal)) {
        await add(request.encode(text.text))
        if (text.ends && end !== null) await add([end])
      }
    }
    return asTokens(await packer.finish(), length)
  } catch (error) {
    await packer.discard()
    throw error
  }
}

interface Piece {
  readonly text: string
  /** Nothing more of the text follows. */
  readonly ends: boolean
}

async function* textsOf(path: string, field: string, signal?: AbortSignal): AsyncGenerator<Piece> {
  if (path.endsWith('.jsonl')) {
    // The byte behind each text is no part of it.
    for await (const bytes of piecesOf(path, field, signal))
      yield { text: bytes.toString('utf8', 0, bytes.length - 1), ends: true }
    return
  }
  const decoder = new StringDecoder('utf8')
  let held = ''
  for await (const bytes of piecesOf(path, field, signal)) {
    held += decoder.write(bytes)
    if (held.length < PIECE) continue
    const cut = cutOf(held)
    if (cut === 0) continue
    yield { text: held.slice(0, cut), ends: false }
    held = held.slice(cut)
  }
  yield { text: held + decoder.end(), ends: true }
}

/** How much of it goes now; 0: more of the line is waited for. */
function cutOf(held: string): number {
  const line = held.lastIndexOf('\n') + 1
  if (line > 0 || held.length < LONGEST_LINE) return line
  const blank = held.lastIndexOf(' ')
  return blank > 0 ? blank : held.length
}
