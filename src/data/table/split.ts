/** Which part of the data a row belongs to: decided row by row, by its place, a column, or chance from a seed. */
import { createHash } from 'node:crypto'
import { GrowingList } from '../../util/index.ts'
import { isSame } from './cells.ts'

export type PartName = 'train' | 'validation' | 'test'
export const PART_NAMES: readonly PartName[] = ['train', 'validation', 'test']

export type SplitSpec =
  /** Row r of a file, from 0, is for test where r mod `every` is `test`. */
  | { readonly every: number; readonly test: number; readonly validation?: number | undefined }
  /** By the value of a column. */
  | {
      readonly column: string
      readonly test: string | number
      readonly validation?: string | number | undefined
    }
  /** Shares of the rows, or of the groups: rows of one group are never parted. */
  | {
      readonly share: { readonly test: number; readonly validation?: number | undefined }
      readonly group?: string | undefined
    }

/** The column that a split looks at. */
export function splitColumn(split: SplitSpec): string | undefined {
  if ('column' in split) return split.column
  return 'share' in split ? split.group : undefined
}

/** @param key of the row: the cell of `splitColumn`, or what tells the row from all others */
export function partOf(split: SplitSpec, row: number, key: string, seed: number): PartName {
  if ('every' in split) {
    const at = row % split.every
    return at === split.test ? 'test' : at === split.validation ? 'validation' : 'train'
  }
  if ('column' in split) {
    if (isSame(key, split.test)) return 'test'
    return split.validation !== undefined && isSame(key, split.validation) ? 'validation' : 'train'
  }
  const { test, validation = 0 } = split.share
  const place = evenly(seed, key)
  return place < test ? 'test' : place < test + validation ? 'validation' : 'train'
}

/** Rows by part, four bytes each; while they grow, up to twice as many. */
export class PartLists {
  readonly #lists = new Map(PART_NAMES.map((name) => [name, new GrowingList(Uint32Array)]))
  #count = 0

  /** Of the next row. */
  add(part: PartName): void {
    this.#lists.get(part)!.add(this.#count++)
  }

  /** Rising places. */
  finish(): Readonly<Record<PartName, Uint32Array>> {
    const lists = PART_NAMES.map((name) => [name, this.#lists.get(name)!.all().slice()] as const)
    return Object.fromEntries(lists) as Record<PartName, Uint32Array>
  }
}

/** The parts of so many rows that have no columns. */
export function rowParts(split: SplitSpec, count: number, seed: number): Readonly<Record<PartName, Uint32Array>> {
  const lists = new PartLists()
  for (let row = 0; row < count; row++) lists.add(partOf(split, row, `0/${row}`, seed))
  return lists.finish()
}

/** In [0, 1), the same for equal keys, whatever else is in the data. */
function evenly(seed: number, key: string): number {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, 'split', key]))
    .digest()
  return digest.readUIntBE(0, 6) / 2 ** 48
}
