/**
 * Tables as text, record by record (RFC 4180): quotes, doubled quotes, line ends inside quotes, a byte-order mark, any
 * one-character separator or runs of blanks; packed by gzip where the name ends in `.gz`. A record is never held twice.
 */
import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import type { Readable } from 'node:stream'
import { shown } from '../../onnx/index.ts'
import { needFile } from '../need-file.ts'
import { TableMalformedError, TableUnreadableError } from './errors.ts'

export interface CsvOptions {
  /** One character, or `whitespace`. @default ',' */
  readonly separator?: string
}

export interface CsvRecord {
  /** Of the file, from 1, where the record begins. */
  readonly line: number
  readonly cells: readonly string[]
}

/** A record that is longer is no record of a table: a quote was opened and not closed. */
const MAX_RECORD_CHARACTERS = 1 << 22
const MAX_CELLS = 1 << 16

/** Empty lines are passed over. @throws TableMalformedError, TableUnreadableError */
export async function* readCsv(
  path: string,
  options: CsvOptions = {},
  signal?: AbortSignal,
): AsyncGenerator<CsvRecord> {
  const splitter = new Splitter(path, options.separator ?? ',')
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for await (const chunk of chunksOf(path, signal)) {
    yield* splitter.feed(decoded(path, decoder, chunk, splitter.line))
  }
  yield* splitter.feed(decoded(path, decoder, undefined, splitter.line))
  yield* splitter.end()
}

async function* chunksOf(path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  await needFile(path)
  const file = createReadStream(path, { highWaterMark: 1 << 18 })
  const stream: Readable = path.endsWith('.gz') ? file.pipe(createGunzip()) : file
  if (stream !== file) file.on('error', (error) => stream.destroy(error))
  try {
    for await (const chunk of stream) {
      signal?.throwIfAborted()
      yield chunk as Buffer
    }
  } catch (error) {
    signal?.throwIfAborted()
    const { code = '' } = error as NodeJS.ErrnoException
    if (code.startsWith('Z_')) throw new TableMalformedError(shown(path), 'it is not packed by gzip, or cut off')
    throw new TableUnreadableError(path, error)
  } finally {
    file.destroy()
  }
}

function decoded(
  path: string,
  decoder: InstanceType<typeof TextDecoder>,
  chunk: Buffer | undefined,
  line: number,
): string {
  try {
    return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true })
  } catch {
    throw new TableMalformedError(shown(path), `it is not UTF-8, from about line ${line} on`)
  }
}

class Splitter {
  line = 1
  readonly #path: string
  readonly #separator: string
  #rest = ''

  constructor(path: string, separator: string) {
    this.#path = path
    this.#separator = separator
  }

  *feed(text: string): Generator<CsvRecord> {
    this.#rest += text
    let from = 0
    for (let end = this.#recordEnd(from); end >= 0; end = this.#recordEnd(from)) {
      const record = this.#rest.slice(from, end)
      from = end + 1
      yield* this.#record(record)
    }
    this.#rest = this.#rest.slice(from)
    if (this.#rest.length > MAX_RECORD_CHARACTERS)
      throw this.#wrong(`has over ${MAX_RECORD_CHARACTERS} characters and no end: is a quote open?`)
  }

  *end(): Generator<CsvRecord> {
    const { length } = this.#rest
    if (length === 0) return
    if (quotesIn(this.#rest) % 2 === 1) throw this.#wrong('has a quote that is not closed')
    yield* this.#record(this.#rest)
    this.#rest = ''
  }

  /** Of the first line end outside of quotes: where as many quotes stand before it as make pairs. */
  #recordEnd(from: number): number {
    let quotes = 0
    let counted = from
    for (let end = this.#rest.indexOf('\n', from); end >= 0; end = this.#rest.indexOf('\n', end + 1)) {
      quotes += quotesIn(this.#rest.slice(counted, end))
      counted = end
      if (quotes % 2 === 0) return end
    }
    return -1
  }

  *#record(text: string): Generator<CsvRecord> {
    const { line } = this
    const plain = text.endsWith('\r') ? text.slice(0, -1) : text
    const cells = plain.trim() === '' ? [] : this.#cells(plain)
    this.line += 1 + (text.match(/\n/g)?.length ?? 0)
    if (cells.length > MAX_CELLS) throw this.#wrong(`has ${cells.length} cells, and ${MAX_CELLS} are the most`)
    if (cells.length > 0) yield { line, cells }
  }

  #cells(text: string): string[] {
    const first = this.line === 1 ? text.replace(/^\uFEFF/, '') : text
    if (this.#separator === 'whitespace') return first.trim().split(/\s+/)
    if (!first.includes('"')) return first.split(this.#separator).map((cell) => cell.trim())
    return this.#quoted(first)
  }

  #quoted(text: string): string[] {
    const cells: string[] = []
    for (let at = 0; at <= text.length;) {
      if (text[at] !== '"') {
        const end = text.indexOf(this.#separator, at)
        const cell = text.slice(at, end < 0 ? undefined : end).trim()
        if (cell.includes('"')) throw this.#wrong('has a quote in the middle of a cell')
        cells.push(cell)
        at = end < 0 ? text.length + 1 : end + 1
        continue
      }
      const [cell, next] = this.#quotedCell(text, at + 1)
      cells.push(cell)
      if (next < text.length && text[next] !== this.#separator) throw this.#wrong('has text behind a closing quote')
      at = next + 1
    }
    return cells
  }

  /** The cell whose inside begins at `at`, and the place behind its closing quote. */
  #quotedCell(text: string, at: number): [cell: string, next: number] {
    let cell = ''
    for (let from = at; ;) {
      const quote = text.indexOf('"', from)
      if (quote < 0) throw this.#wrong('has a quote that is not closed')
      cell += text.slice(from, quote)
      if (text[quote + 1] !== '"') return [cell, quote + 1]
      cell += '"'
      from = quote + 2
    }
  }

  #wrong(what: string): TableMalformedError {
    return new TableMalformedError(shown(this.#path), `the record in line ${this.line} ${what}`)
  }
}

function quotesIn(text: string): number {
  let count = 0
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count++
  return count
}
