/** Columns made orthonormal by Gram and Schmidt, each twice so that rounding leaves nothing of the others. Row-major float64. */

/** Of its length, so much of a column must be left, or it lies within those before it. */
const LEAST_LEFT = 1e-10

/**
 * In place.
 * @param fill a column that lies within those before it is replaced by a unit vector that does not; else it becomes 0
 */
export function orthonormalise(matrix: Float64Array, rows: number, columns: number, fill: boolean): void {
  for (let column = 0; column < columns; column++) {
    if (settle(matrix, rows, columns, column)) continue
    for (let row = 0; row < rows; row++) matrix[row * columns + column] = 0
    if (!fill) continue
    for (let unit = 0; unit < rows; unit++) {
      for (let row = 0; row < rows; row++) matrix[row * columns + column] = row === unit ? 1 : 0
      if (settle(matrix, rows, columns, column)) break
    }
  }
}

/** False: nothing of the column is left beside those before it. */
function settle(matrix: Float64Array, rows: number, columns: number, column: number): boolean {
  const before = normOf(matrix, rows, columns, column)
  if (!(before > 0)) return false
  for (let pass = 0; pass < 2; pass++) {
    for (let other = 0; other < column; other++) {
      let product = 0
      for (let row = 0; row < rows; row++) product += matrix[row * columns + column]! * matrix[row * columns + other]!
      for (let row = 0; row < rows; row++) {
        matrix[row * columns + column]! -= product * matrix[row * columns + other]!
      }
    }
  }
  const left = normOf(matrix, rows, columns, column)
  if (!(left > LEAST_LEFT * before)) return false
  for (let row = 0; row < rows; row++) matrix[row * columns + column]! /= left
  return true
}

/** Safe where squares would vanish: updates may be tiny. */
function normOf(matrix: Float64Array, rows: number, columns: number, column: number): number {
  let most = 0
  for (let row = 0; row < rows; row++) most = Math.max(most, Math.abs(matrix[row * columns + column]!))
  if (most === 0) return 0
  let sum = 0
  for (let row = 0; row < rows; row++) {
    const part = matrix[row * columns + column]! / most
    sum += part * part
  }
  return most * Math.sqrt(sum)
}
