/** Whether the columns are what the plan takes them for: how many sites have them, and how many cells do not fit. */
import { numberOf } from '../../data/index.ts'
import type { StatisticOf } from '../plan/analysis-schema.ts'
import type { Part } from './part.ts'
import type { RecordRow } from './records.ts'

type Spec = StatisticOf<'schema'>

/** Of each column: sites that have it; cells that are missing, that are no number, that are outside of range or values. */
export const SCHEMA_FIELDS = ['sites', 'missing', 'not_a_number', 'outside'] as const
const FIELDS = SCHEMA_FIELDS.length

export function schemaPart({ columns }: Spec): Part {
  const size = FIELDS * columns.length
  return {
    size,
    wide: 0,
    // A column that is not there is a fact here, and no error.
    columns: [],
    // Of each column a record is in one field at most; that a column is there depends on no record.
    ofRecord: Math.sqrt(columns.length),
    ofSite: (records) => Math.sqrt(columns.length * (records * records + 1)),
    most: (records) => records,
    tally: ({ scale }) => {
      const counts = new Float64Array(size)
      return {
        counts,
        wide: [],
        add(row) {
          for (const [index, column] of columns.entries()) {
            const cell = row.cell(column.column)
            if (cell === undefined) continue
            counts[FIELDS * index] = scale
            const field = fieldOf(row, column, cell)
            if (field !== undefined) counts[FIELDS * index + field]! += scale
          }
        },
      }
    },
    read: (counts) => [...counts],
  }
}

function fieldOf(row: RecordRow, column: Spec['columns'][number], cell: string | null): number | undefined {
  if (cell === null) return 1
  const { values, range } = column
  if (values !== undefined) return row.place(column.column, values) === values.length ? 3 : undefined
  const value = numberOf(cell)
  if (value === undefined) return 2
  return range !== undefined && (value < range[0] || value > range[1]) ? 3 : undefined
}
