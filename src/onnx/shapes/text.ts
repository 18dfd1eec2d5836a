/** Expressions as text: `batch*8`, `(height+1)/2` (rounded down), `max(total-past,0)`; read again by `evaluate.ts`. */
import { isHyphenated, isName } from './names.ts'
import type { Sum, Term } from './terms.ts'

/** Longer expressions are not worth a name. */
export const MAX_TEXT = 200

export function printSum(sum: Sum): string {
  if (sum.length === 0) return '0'
  const text = sum.map((term, at) => printTerm(term, at === 0)).join('')
  return isHyphenated(text) ? `(${text})` : text
}

function printTerm({ factors, coefficient }: Term, first: boolean): string {
  const sign = coefficient < 0 ? '-' : first ? '' : '+'
  const size = Math.abs(coefficient)
  if (factors.length === 0) return `${sign}${size}`
  const product = size === 1 ? factors : [...factors, String(size)]
  const alone = product.length === 1 && sign !== '-'
  return sign + (alone ? withoutParentheses(product[0]!) : product.join('*'))
}

/** As a factor: always in parentheses, which fall away where it stands alone. */
export function printQuotient(numerator: Sum, divisor: Sum): string {
  const above = numerator.length === 1 ? joined(numerator[0]!) : `(${bare(numerator)})`
  const below = bare(divisor)
  return `(${above}/${/^\d+$/.test(below) || isName(below) ? below : `(${below})`})`
}

function joined({ factors, coefficient }: Term): string {
  if (factors.length === 0) return String(coefficient)
  return (coefficient === 1 ? factors : [...factors, String(coefficient)]).join('*')
}

function bare(sum: Sum): string {
  return sum.map((term, at) => printTerm(term, at === 0)).join('')
}

/** A factor that begins with a parenthesis is a quotient, and its last character closes the first. */
function withoutParentheses(factor: string): string {
  return factor.startsWith('(') ? factor.slice(1, -1) : factor
}
