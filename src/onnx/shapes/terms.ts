/**
 * Sums of products of sizes with whole coefficients, in one normal form: the arithmetic below the names of dimensions.
 * A factor is the text of something that is not taken apart: a name, an unknown, a quotient, a maximum.
 */
export interface Term {
  /** Sorted; a factor that is squared stands twice. Empty: a constant. */
  readonly factors: readonly string[]
  /** Never 0. */
  readonly coefficient: number
}

/** Sorted by factors, the constant last; no two terms with the same factors. Empty: 0. */
export type Sum = readonly Term[]

const MAX_TERMS = 12
const MAX_DEGREE = 8

export function constantSum(value: number): Sum {
  return value === 0 ? [] : [{ factors: [], coefficient: value }]
}

export function factorSum(factor: string): Sum {
  return [{ factors: [factor], coefficient: 1 }]
}

/** The number that a sum without names is; undefined for others. */
export function constantOf(sum: Sum): number | undefined {
  if (sum.length === 0) return 0
  return sum.length === 1 && sum[0]!.factors.length === 0 ? sum[0]!.coefficient : undefined
}

/** Undefined where a sum grows too large to be worth a name. */
export function addSums(left: Sum, right: Sum): Sum | undefined {
  return collect([...left, ...right])
}

export function scaleSum(sum: Sum, scale: number): Sum | undefined {
  return collect(sum.map(({ factors, coefficient }) => ({ factors, coefficient: coefficient * scale })))
}

export function multiplySums(left: Sum, right: Sum): Sum | undefined {
  if (left.length * right.length > MAX_TERMS * MAX_TERMS) return undefined
  return collect(left.flatMap((a) => right.map((b) => multiplyTerms(a, b))))
}

function multiplyTerms(left: Term, right: Term): Term {
  return {
    factors: [...left.factors, ...right.factors].sort(),
    coefficient: left.coefficient * right.coefficient,
  }
}

function collect(terms: readonly Term[]): Sum | undefined {
  const byFactors = new Map<string, Term>()
  for (const term of terms) {
    const key = term.factors.join('*')
    const coefficient = (byFactors.get(key)?.coefficient ?? 0) + term.coefficient
    if (!Number.isSafeInteger(coefficient) || term.factors.length > MAX_DEGREE) return undefined
    byFactors.set(key, { factors: term.factors, coefficient })
  }
  const kept = [...byFactors].filter(([, { coefficient }]) => coefficient !== 0)
  if (kept.length > MAX_TERMS) return undefined
  return kept.sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1)).map(([, term]) => term)
}

export function sameSums(left: Sum, right: Sum): boolean {
  return (
    left.length === right.length &&
    left.every((term, at) => {
      const other = right[at]!
      return term.coefficient === other.coefficient && term.factors.join('*') === other.factors.join('*')
    })
  )
}

/** All factors stand for sizes, so a sum of positive terms cannot be negative; false where it is not certain. */
export function isNeverNegative(sum: Sum): boolean {
  return sum.every(({ coefficient }) => coefficient > 0)
}

/** The quotient where the division leaves nothing whatever the names stand for (the divisor is not 0). */
export function divideExactly(sum: Sum, divisor: Sum): Sum | undefined {
  const lead = divisor[0]
  if (lead === undefined) return undefined
  if (sum.length === 0) return []
  if (divisor.length === 1) {
    const terms = sum.map((term) => divideTerm(term, lead))
    return terms.every((term) => term !== undefined) ? terms : undefined
  }
  // Several terms: only a quotient of one term is looked for, as sums seldom divide otherwise.
  for (const term of sum) {
    const quotient = divideTerm(term, lead)
    const product = quotient && multiplySums([quotient], divisor)
    if (product !== undefined && sameSums(product, sum)) return [quotient!]
  }
  return undefined
}

function divideTerm(term: Term, divisor: Term): Term | undefined {
  if (term.coefficient % divisor.coefficient !== 0) return undefined
  const factors = [...term.factors]
  for (const factor of divisor.factors) {
    const at = factors.indexOf(factor)
    if (at < 0) return undefined
    factors.splice(at, 1)
  }
  return { factors, coefficient: term.coefficient / divisor.coefficient }
}

/** What all terms of both sums share, as one term: the quotient of the two does not change when both lose it. */
export function commonTerm(left: Sum, right: Sum): Term {
  const terms = [...left, ...right]
  const coefficient = terms.reduce((common, term) => greatestDivisor(common, Math.abs(term.coefficient)), 0)
  const factors: string[] = []
  for (const factor of new Set(terms[0]?.factors)) {
    const times = Math.min(...terms.map((term) => term.factors.filter((other) => other === factor).length))
    for (let at = 0; at < times; at++) factors.push(factor)
  }
  return { factors, coefficient: Math.max(coefficient, 1) }
}

export function greatestDivisor(left: number, right: number): number {
  let [a, b] = [left, right]
  while (b !== 0) [a, b] = [b, a % b]
  return a
}
