/** Cells of a table as numbers, and what is missing. */

/** A number as texts have it: no hexadecimal forms, nothing behind it. */
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i

export function numberOf(text: string): number | undefined {
  if (!NUMBER.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}

/** Numbers compare as numbers: `0` is the cell `0.0`. */
export function isSame(cell: string, value: string | number): boolean {
  if (typeof value === 'string' && cell === value) return true
  const [left, right] = [numberOf(cell), typeof value === 'number' ? value : numberOf(value)]
  return left !== undefined && left === right
}

export function isOneOf(cell: string, values: readonly (string | number)[]): boolean {
  return values.some((value) => isSame(cell, value))
}
