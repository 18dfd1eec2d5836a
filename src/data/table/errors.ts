/** What can be wrong with tables, and with files of examples of any kind. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { shown } from '../../onnx/index.ts'
import { nearest } from '../../util/index.ts'

/** A file or a folder of examples is missing, or must not be read. */
export class TableUnreadableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-010',
    title: 'Data cannot be opened',
    meaning: 'A file or a folder of examples is missing, or must not be read.',
    remedy: 'Check its path and its permissions. Paths in a plan count from the folder of the plan.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, cause: unknown) {
    super(TableUnreadableError.info, `cannot open ${shown(path)}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { path },
      cause,
    })
  }
}

/** `where` names the file, as it may be printed. */
export class TableMalformedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-011',
    title: 'Malformed data file',
    meaning: 'A file of examples is not in the format that it should have, is cut off, or two of its parts disagree.',
    remedy: 'Check the file, and what the plan says about it: kind, separator, header and columns.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(where: string, why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(TableMalformedError.info, `${where} cannot be read: ${why}`, { why, details })
  }
}

export class ColumnUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-012',
    title: 'No such column',
    meaning: 'A column or an array that is asked for does not stand in the data.',
    remedy: 'Columns are named by the first line of a file, or by "columns" where it has no such line.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(path: string, column: string, known: readonly string[]) {
    const near = nearest(column, known)
    super(ColumnUnknownError.info, `${shown(path)} has no column ${shown(column)}`, {
      details: { path, column, near: near ?? null },
      ...(near === undefined ? {} : { hint: `did you mean ${shown(near)}?` }),
    })
  }
}

export class CellError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-013',
    title: 'Bad value in the data',
    meaning: 'A value is no number, not finite, out of its declared range, or no class that the plan knows.',
    remedy: 'Mend the value, or declare it as missing: "missing" of the data, of a column or of a feature.',
    exit: EXIT.integrity,
    http: 400,
  }
  /** @param row of the file, from 0, without its header; `line` as an editor counts */
  constructor(path: string, row: number, column: string, why: string, line?: number) {
    const at = line === undefined ? '' : ` (line ${line})`
    super(CellError.info, `row ${row}${at}, column ${shown(column)} of ${shown(path)}: ${why}`, {
      why,
      details: { path, row, column, line: line ?? null },
    })
  }
}

export class DataChangedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-014',
    title: 'Data changed',
    meaning: 'A file of examples is another than when the run began, so that its results would mean nothing.',
    remedy: 'Put the old file back and use --resume, or begin a new run in another folder.',
    exit: EXIT.integrity,
    http: 409,
  }
  constructor(path: string, why: string) {
    super(DataChangedError.info, `${shown(path)} changed during the run: ${why}`, { why, details: { path } })
  }
}

export class NoRowsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-015',
    title: 'No examples',
    meaning: 'The data, or one of the parts that it is split into, has no example.',
    remedy: 'Check the split and the file. A split by groups needs more groups than parts.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(what: string, details: Readonly<Record<string, unknown>> = {}) {
    super(NoRowsError.info, `${what} has no example`, { details })
  }
}

export const TABLE_ERRORS: readonly ErrorInfo[] = [
  TableUnreadableError.info,
  TableMalformedError.info,
  ColumnUnknownError.info,
  CellError.info,
  DataChangedError.info,
  NoRowsError.info,
]
