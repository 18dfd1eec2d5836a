/** Texts as windows of bytes, each with the byte that follows: what a model of texts is trained on. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { shown } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { RowPacker } from '../rows/packed-rows.ts'
import type { Rows } from '../rows/rows.ts'
import { needFile } from '../need-file.ts'
import { TableMalformedError, TableUnreadableError } from '../table/errors.ts'

export interface TextRequest {
  /** Absolute: plain texts, and JSON lines where the name ends in `.jsonl`. */
  readonly paths: readonly string[]
  /** Of JSON lines: where the text stands. */
  readonly field: string
  /** Bytes of a window. */
  readonly length: number
  /** Bytes of windows that stay in memory; the others go to a file in `folder`. */
  readonly memory: number
  readonly folder: string
}

/** Stands behind each text of JSON lines: no byte of any text. */
const END = Buffer.from([0])

/** `x` and `target`, int64 [length] each: a window, and the same one byte later. What is over at the end is left out. */
export async function readTexts(request: TextRequest, signal?: AbortSignal): Promise<Rows> {
  const { length } = request
  const fields = [{ name: 'window', type: 'uint8', dims: [length + 1] }] as const
  const packer = new RowPacker({ fields, memory: request.memory, folder: request.folder })
  let rest: Buffer = Buffer.alloc(0)
  try {
    for (const path of request.paths) {
      for await (const piece of piecesOf(path, request.field, signal)) {
        rest = Buffer.concat([rest, piece])
        let at = 0
        for (; at + length < rest.length; at += length) await packer.add([rest.subarray(at, at + length + 1)])
        rest = rest.subarray(at)
      }
    }
    return asTokens(await packer.finish(), length)
  } catch (error) {
    await packer.discard()
    throw error
  }
}

export async function* piecesOf(path: string, field: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  await needFile(path)
  const stream = createReadStream(path, { highWaterMark: 1 << 18 })
  try {
    if (!path.endsWith('.jsonl')) {
      for await (const chunk of stream) {
        signal?.throwIfAborted()
        yield chunk as Buffer
      }
      return
    }
    let line = 0
    const opened = new Promise<void>((resolve, reject) => stream.once('open', () => resolve()).once('error', reject))
    await opened
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      signal?.throwIfAborted()
      line++
      if (text.trim() !== '') yield Buffer.concat([textOf(text, field, path, line), END])
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof TableMalformedError) throw error
    throw new TableUnreadableError(path, error)
  } finally {
    stream.destroy()
  }
}

function textOf(json: string, field: string, path: string, line: number): Buffer {
  let value: unknown
  try {
    value = (JSON.parse(json) as Record<string, unknown> | null)?.[field]
  } catch {
    throw new TableMalformedError(shown(path), `line ${line} is no JSON`)
  }
  if (typeof value !== 'string') throw new TableMalformedError(shown(path), `line ${line} has no text ${shown(field)}`)
  return Buffer.from(value)
}

/** @param window a field of `length` + 1 numbers a row */
export function asTokens(rows: Rows, length: number): Rows {
  const field = (name: string): Rows['fields'][number] => ({ name, type: 'int64', dims: [length] })
  return {
    count: rows.count,
    fields: [field('x'), field('target')],
    size: rows.size,
    close: () => rows.close(),
    async take(wanted, signal) {
      const { window } = await rows.take(wanted, signal)
      const numbers = window!.data as Uint8Array | Int32Array
      const tokens = (shift: number): Tensor => {
        const data = new BigInt64Array(wanted.length * length)
        for (let at = 0; at < data.length; at++) {
          data[at] = BigInt(numbers[Math.floor(at / length) * (length + 1) + (at % length) + shift]!)
        }
        return { type: 'int64', dims: [wanted.length, length], data }
      }
      return { x: tokens(0), target: tokens(1) }
    },
  }
}
