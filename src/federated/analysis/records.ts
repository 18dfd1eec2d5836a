/** The records of a site as statistics ask for them, one after the other: a table is never held whole. */
import {
  CellError,
  ColumnUnknownError,
  isOneOf,
  isSame,
  numberOf,
  readCsv,
  TableMalformedError,
} from '../../data/index.ts'
import type { CsvRecord } from '../../data/index.ts'
import { resolve } from 'node:path'
import type { LabelSpec } from '../plan/analysis-schema.ts'
import { FedPlanError } from '../plan/errors.ts'
import type { SiteData } from '../plan/read-plan.ts'

export interface RecordRow {
  /** Undefined: missing. @throws CellError: no finite number */
  number(column: string): number | undefined
  /** @throws CellError: missing, or no finite number */
  required(column: string): number
  /** Whether it is positive. @throws CellError: missing, or no number where one is compared */
  label(label: LabelSpec): boolean
  /** Place of its cell among the values; as many as there are: another one; undefined: missing. */
  place(column: string, values: readonly (string | number)[]): number | undefined
  /** The cell as it stands; null: missing; undefined: there is no such column. */
  cell(column: string): string | null | undefined
  /** @throws CellError: this cell is wrong */
  fail(column: string, why: string): never
}

/**
 * @param columns that have to be there
 * @returns how many records there are
 * @throws FedPlanError for what is no table, ColumnUnknownError, CellError, TableMalformedError, and what reading throws
 */
export async function eachRecord(
  { data, folder, path: where }: SiteData,
  columns: readonly string[],
  visit: (row: RecordRow) => void,
  signal?: AbortSignal,
): Promise<number> {
  if (data.kind !== 'csv') throw new FedPlanError(where, 'kind', `is "${data.kind}", and an analysis takes a table`)
  const paths = (typeof data.path === 'string' ? [data.path] : data.path).map((path) => resolve(folder, path))
  const markers = data.missing ?? []
  const own = new Map<string, readonly (string | number)[]>()
  for (const one of data.columns ?? []) {
    if (typeof one === 'string' || !Array.isArray(one['missing'])) continue
    own.set(one.name, one['missing'] as (string | number)[])
  }
  const named = data.columns?.map((one) => (typeof one === 'string' ? one : one.name))
  const hasHeader = data.header ?? true
  let count = 0
  for (const path of paths) {
    const separator = data.separator === undefined ? {} : { separator: data.separator }
    let cursor: Cursor | undefined
    let row = 0
    for await (const record of readCsv(path, separator, signal)) {
      if (cursor === undefined) {
        const names = hasHeader ? record.cells : (named ?? [])
        const absent = columns.find((column) => !names.includes(column))
        if (absent !== undefined) throw new ColumnUnknownError(path, absent, names)
        cursor = new Cursor(path, names, markers, own)
        if (hasHeader) continue
      }
      cursor.at(record, row++)
      visit(cursor)
      count++
    }
  }
  return count
}

class Cursor implements RecordRow {
  readonly #path: string
  readonly #places: ReadonlyMap<string, number>
  readonly #markers: readonly (string | number)[]
  readonly #own: ReadonlyMap<string, readonly (string | number)[]>
  readonly #width: number
  #record: CsvRecord = { line: 0, cells: [] }
  #row = 0

  constructor(
    path: string,
    names: readonly string[],
    markers: readonly (string | number)[],
    own: ReadonlyMap<string, readonly (string | number)[]>,
  ) {
    this.#path = path
    this.#places = new Map(names.map((name, place) => [name, place]))
    this.#markers = markers
    this.#own = own
    this.#width = names.length
  }

  at(record: CsvRecord, row: number): void {
    if (record.cells.length !== this.#width) {
      const where = `${this.#path}, line ${record.line}`
      throw new TableMalformedError(where, `it has ${record.cells.length} cells, and there are ${this.#width} columns`)
    }
    this.#record = record
    this.#row = row
  }

  cell(column: string): string | null | undefined {
    const place = this.#places.get(column)
    if (place === undefined) return undefined
    const cell = this.#record.cells[place]!
    return isOneOf(cell, this.#markers) || isOneOf(cell, this.#own.get(column) ?? []) ? null : cell
  }

  number(column: string): number | undefined {
    const cell = this.cell(column)
    if (cell === null || cell === undefined) return undefined
    return numberOf(cell) ?? this.fail(column, `${JSON.stringify(cell.slice(0, 40))} is no finite number`)
  }

  required(column: string): number {
    return this.number(column) ?? this.fail(column, 'it is missing, and the statistic needs it')
  }

  label({ column, above, equals }: LabelSpec): boolean {
    if (above !== undefined) return this.required(column) > above
    const cell = this.cell(column)
    return typeof cell === 'string' ? isSame(cell, equals!) : this.fail(column, 'the label is missing')
  }

  place(column: string, values: readonly (string | number)[]): number | undefined {
    const cell = this.cell(column)
    if (cell === null || cell === undefined) return undefined
    const found = values.findIndex((value) => isSame(cell, value))
    return found < 0 ? values.length : found
  }

  fail(column: string, why: string): never {
    throw new CellError(this.#path, this.#row, column, why, this.#record.line)
  }
}
