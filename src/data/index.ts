/** Data in files: named arrays, tables, images, sounds and texts, as rows that a model can be trained on. */
export { ArrayUnreadableError, DATA_ERRORS } from './errors.ts'
export { checkUnchanged, fileDigest, fingerprints } from './fingerprint.ts'
export type { Fingerprint } from './fingerprint.ts'
export { imageRows, listClasses, readImages, readSounds, soundRows } from './files/class-folders.ts'
export type { ClassFiles } from './files/class-folders.ts'
export { readTexts } from './files/text.ts'
export { readTokens } from './files/token-texts.ts'
export type { TextRequest } from './files/text.ts'
export { Canvas } from './images/canvas.ts'
export { openIdx, readIdx } from './images/idx.ts'
export { encodePng } from './images/write-png.ts'
export { readNpy, readNpz } from './numpy/npz.ts'
export { NpzArchive } from './numpy/npz-rows.ts'
export type { Keys, RowRoom } from './numpy/npz-rows.ts'
export { writeNpz } from './numpy/write-npz.ts'
export { arrayRows } from './rows/array-rows.ts'
export { RowPacker } from './rows/packed-rows.ts'
export type { RowSource } from './rows/row-source.ts'
export type { Batch, RowField, Rows, RowsSize } from './rows/rows.ts'
export { createSeeded, shuffled } from './seeded.ts'
export type { Seeded } from './seeded.ts'
export { isOneOf, isSame, numberOf } from './table/cells.ts'
export { readCsv } from './table/csv.ts'
export type { CsvOptions, CsvRecord } from './table/csv.ts'
export {
  CellError,
  ColumnUnknownError,
  DataChangedError,
  NoRowsError,
  TableMalformedError,
  TableUnreadableError,
} from './table/errors.ts'
export { readNumber, readTable } from './table/read-table.ts'
export type { CellField, CellSpec, ColumnSpec, Table, TableFiles, TableRequest } from './table/read-table.ts'
export { PART_NAMES, PartLists, partOf, rowParts, splitColumn } from './table/split.ts'
export type { PartName, SplitSpec } from './table/split.ts'
export { RunningStatistics } from './table/statistics.ts'
export type { ColumnStatistics } from './table/statistics.ts'
