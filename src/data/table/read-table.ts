/** A table of one or more files as rows of numbers: cells checked, rows parted, columns summed up, in one pass. */
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import { RowPacker } from '../rows/packed-rows.ts'
import type { RowField, Rows } from '../rows/rows.ts'
import { isOneOf, numberOf } from './cells.ts'
import { readCsv } from './csv.ts'
import type { CsvRecord } from './csv.ts'
import { CellError, ColumnUnknownError, TableMalformedError } from './errors.ts'
import { PartLists, partOf, splitColumn } from './split.ts'
import type { PartName, SplitSpec } from './split.ts'
import { RunningStatistics } from './statistics.ts'
import type { ColumnStatistics } from './statistics.ts'

/** What is declared of a column. */
export interface ColumnSpec {
  readonly name: string
  readonly unit?: string | undefined
  readonly missing?: readonly (string | number)[] | undefined
  /** Inclusive bounds of its numbers. */
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
}

export interface TableFiles {
  /** Absolute. */
  readonly paths: readonly string[]
  /** Whether the first line names the columns. */
  readonly header: boolean
  readonly separator?: string | undefined
  /** All columns in their order; where there is a header, those of which something is to be said. */
  readonly columns?: readonly ColumnSpec[] | undefined
  /** Cells that hold nothing. */
  readonly missing: readonly (string | number)[]
}

/** One number of a row, out of one column. */
export interface CellSpec {
  readonly column: string
  readonly missing?: readonly (string | number)[] | undefined
  /** The number for a cell that is not missing, or why there is none. */
  readonly read: (cell: string) => number | string
  /** For a missing cell; without it, a missing cell is an error. */
  readonly empty?: number | undefined
}

export interface CellField {
  readonly name: string
  readonly type: 'float32' | 'int64'
  /** One: a number a row; more: a vector a row. */
  readonly cells: readonly CellSpec[]
  readonly isVector: boolean
}

export interface TableRequest {
  readonly files: TableFiles
  readonly fields: readonly CellField[]
  readonly split: SplitSpec
  readonly seed: number
  /** Bytes of rows that stay in memory. */
  readonly memory: number
  /** For rows beyond that. */
  readonly folder: string
}

export interface Table {
  readonly rows: Rows
  /** Rising places in `rows`. */
  readonly parts: Readonly<Record<PartName, Uint32Array>>
  /** Of the numbers of each field's cells over the rows for training, missing ones left out. */
  readonly statistics: ReadonlyMap<string, readonly ColumnStatistics[]>
}

/** A cell that is a finite number. */
export function readNumber(cell: string): number | string {
  return numberOf(cell) ?? `${JSON.stringify(cell.slice(0, 40))} is no finite number`
}

/** @throws CellError, ColumnUnknownError, TableMalformedError, TableUnreadableError, DiskFullError */
export async function readTable(request: TableRequest, signal?: AbortSignal): Promise<Table> {
  const reader = new TableReader(request)
  try {
    for (const [file, path] of request.files.paths.entries()) await reader.read(path, file, signal)
    return await reader.finish()
  } catch (error) {
    await reader.discard()
    throw error
  }
}

interface Placed {
  readonly spec: CellSpec
  readonly column: ColumnSpec | undefined
  /** In the record. */
  readonly at: number
}

class TableReader {
  readonly #request: TableRequest
  readonly #packer: RowPacker
  readonly #parts = new PartLists()
  readonly #statistics: RunningStatistics[][]
  readonly #values: InstanceType<(typeof TENSOR_ARRAYS)['float32' | 'int64']>[]

  constructor(request: TableRequest) {
    this.#request = request
    const fields = request.fields.map(rowField)
    this.#packer = new RowPacker({ fields, memory: request.memory, folder: request.folder })
    this.#statistics = request.fields.map(({ cells }) => cells.map(() => new RunningStatistics()))
    this.#values = request.fields.map(({ type, cells }) => new TENSOR_ARRAYS[type](cells.length))
  }

  async read(path: string, file: number, signal?: AbortSignal): Promise<void> {
    const { files, fields, split } = this.#request
    const { separator } = files
    let names: readonly string[] | undefined = files.header ? undefined : files.columns?.map(({ name }) => name)
    let placed: Placed[][] = []
    let keyAt = -1
    let row = 0
    for await (const record of readCsv(path, separator === undefined ? {} : { separator }, signal)) {
      const columns: readonly string[] = (names ??= record.cells)
      if (placed.length === 0) {
        placed = fields.map(({ cells }) => cells.map((spec) => this.#place(path, columns, spec)))
        const key = splitColumn(split)
        if (key !== undefined) keyAt = placeOf(path, columns, key)
        if (files.header || files.columns === undefined) continue
      }
      if (record.cells.length !== columns.length) throw ragged(path, row, record, columns.length)
      const part = partOf(split, row, keyAt < 0 ? `${file}/${row}` : record.cells[keyAt]!, this.#request.seed)
      await this.#row({ path, row, record, placed, part })
      row++
    }
  }

  async finish(): Promise<Table> {
    const rows = await this.#packer.finish()
    const statistics = this.#request.fields.map(
      ({ name }, index) => [name, this.#statistics[index]!.map((one) => one.result())] as const,
    )
    return { rows, parts: this.#parts.finish(), statistics: new Map(statistics) }
  }

  discard(): Promise<void> {
    return this.#packer.discard()
  }

  #place(path: string, names: readonly string[], spec: CellSpec): Placed {
    const at = placeOf(path, names, spec.column)
    return { spec, at, column: this.#request.files.columns?.find(({ name }) => name === spec.column) }
  }

  async #row({ path, row, record, placed, part }: RowFacts): Promise<void> {
    for (const [index, cells] of placed.entries()) {
      const values = this.#values[index]!
      for (const [at, cell] of cells.entries()) {
        const value = this.#value(path, row, record, cell)
        if (part === 'train' && !Number.isNaN(value)) this.#statistics[index]![at]!.add(value)
        if (values instanceof BigInt64Array) values[at] = BigInt(value)
        else values[at] = value
      }
    }
    await this.#packer.add(this.#values.map((values) => new Uint8Array(values.buffer)))
    this.#parts.add(part)
  }

  #value(path: string, row: number, record: CsvRecord, { spec, column, at }: Placed): number {
    const cell = record.cells[at]!
    const wrong = (why: string): CellError => new CellError(path, row, spec.column, why, record.line)
    const markers = [this.#request.files.missing, column?.missing ?? [], spec.missing ?? []]
    if (markers.some((values) => isOneOf(cell, values))) {
      if (spec.empty === undefined) throw wrong(`${JSON.stringify(cell)} stands for a missing value`)
      return spec.empty
    }
    const value = spec.read(cell)
    if (typeof value === 'string') throw wrong(value)
    const { minimum = -Infinity, maximum = Infinity, unit = '' } = column ?? {}
    const number = numberOf(cell) ?? 0
    if (number < minimum || number > maximum) {
      throw wrong(`${cell} is not in [${minimum}, ${maximum}]${unit === '' ? '' : ` ${unit}`}`)
    }
    return value
  }
}

interface RowFacts {
  readonly path: string
  readonly row: number
  readonly record: CsvRecord
  readonly placed: readonly (readonly Placed[])[]
  readonly part: PartName
}

function rowField({ name, type, cells, isVector }: CellField): RowField {
  return { name, type, dims: isVector ? [cells.length] : [] }
}

function placeOf(path: string, names: readonly string[], column: string): number {
  const at = names.indexOf(column)
  if (at < 0) throw new ColumnUnknownError(path, column, names)
  if (names.includes(column, at + 1)) {
    const why = `its columns ${at + 1} and ${names.indexOf(column, at + 1) + 1} are both called ${shown(column)}`
    throw new TableMalformedError(shown(path), why, { column })
  }
  return at
}

function ragged(path: string, row: number, { line, cells }: CsvRecord, expected: number): TableMalformedError {
  return new TableMalformedError(
    JSON.stringify(path),
    `row ${row} (line ${line}) has ${cells.length} cells, and there are ${expected} columns`,
    { row, line },
  )
}
