/** One statistic in one round: which coordinates it adds to the sum, and what the sums say. */
import type { RecordRow } from './records.ts'

export interface Part {
  /** Whole numbers that travel as they are, or noised. */
  readonly size: number
  /** Exact fixed-point numbers, without privacy alone. */
  readonly wide: number
  /** Names of columns that have to be there. */
  readonly columns: readonly string[]
  /** Euclidean norm of what one record changes in the whole numbers, at scale 1. */
  readonly ofRecord: number
  /** The same of one site that has at most so many records. */
  readonly ofSite: (records: number) => number
  /** Largest whole number of a site that has so many records. */
  readonly most: (records: number) => number
  readonly tally: (needs: TallyNeeds) => Tally
  /** @param counts the sums, scale taken off; finite numbers, the same at every member to the last bit */
  readonly read: (counts: Float64Array, wide: readonly bigint[]) => readonly number[]
}

export interface TallyNeeds {
  /** A count of one is so many units. */
  readonly scale: number
  /** Uniform in [0, 1), from a secure source: what is rounded is rounded by chance. */
  readonly uniform: () => number
}

/** What one site adds. */
export interface Tally {
  readonly counts: Float64Array
  readonly wide: bigint[]
  add(row: RecordRow): void
  /** Once, behind the last record. */
  end?(): void
}

/** A tally that counts each record in the places that `place` gives. */
export function placing(size: number, place: (row: RecordRow) => number | undefined): Part['tally'] {
  return ({ scale }) => {
    const counts = new Float64Array(size)
    return {
      counts,
      wide: [],
      add(row) {
        const at = place(row)
        if (at !== undefined) counts[at]! += scale
      },
    }
  }
}

/** Of what is a sum over records. */
export function bySum(ofRecord: number): Pick<Part, 'ofRecord' | 'ofSite' | 'most'> {
  return { ofRecord, ofSite: (records) => records * ofRecord, most: (records) => records }
}

/** A number within [-1, 1] as whole units, up or down by chance: right on average, and never over `scale`. */
export function roundedUnits(value: number, { scale, uniform }: TallyNeeds): number {
  const scaled = value * scale
  const below = Math.floor(scaled)
  return below + (uniform() < scaled - below ? 1 : 0)
}

interface Grouping {
  readonly column: string
  readonly values: readonly (string | number)[]
}

/** The part once for each value of a column: a record is in one of them at most, so that what it changes is the same. */
export function grouped(part: Part, by: Grouping | undefined): Part {
  if (by === undefined) return part
  const groups = by.values.length
  return {
    ...part,
    size: groups * part.size,
    wide: groups * part.wide,
    columns: [...part.columns, by.column],
    tally: (needs) => {
      const tallies = by.values.map(() => part.tally(needs))
      const counts = new Float64Array(groups * part.size)
      const wide: bigint[] = []
      return {
        counts,
        wide,
        add(row) {
          const group = row.place(by.column, by.values)
          if (group !== undefined && group < groups) tallies[group]!.add(row)
        },
        end() {
          for (const [group, tally] of tallies.entries()) {
            tally.end?.()
            counts.set(tally.counts, group * part.size)
            for (const value of tally.wide) wide.push(value)
          }
        },
      }
    },
    read: (counts, wide) =>
      by.values.flatMap((_, group) => [
        ...part.read(
          counts.subarray(group * part.size, (group + 1) * part.size),
          wide.slice(group * part.wide, (group + 1) * part.wide),
        ),
      ]),
  }
}
