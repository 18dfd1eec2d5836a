/** The value in the middle; of an even number the greater of the two; NaN of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN
}

/** Of each field for itself: what one run is disturbed in says nothing of its other fields. */
export function medians<Row extends object>(rows: readonly Row[]): Row {
  const names = Object.keys(rows[0]!) as (keyof Row)[]
  return Object.fromEntries(names.map((name) => [name, median(rows.map((row) => Number(row[name])))])) as Row
}
