/**
 * Arithmetic on dimensions. A result is a number, the text of an expression in normal form (equal expressions have
 * equal texts), or null where it is not known or would be too long to be worth a name.
 */
import type { Dimension } from '../ir/index.ts'
import { isName, quoteName } from './names.ts'
import {
  addSums,
  commonTerm,
  constantOf,
  constantSum,
  divideExactly,
  factorSum,
  greatestDivisor,
  isNeverNegative,
  multiplySums,
  scaleSum,
} from './terms.ts'
import type { Sum, Term } from './terms.ts'
import { MAX_TEXT, printSum, printQuotient } from './text.ts'

interface Quotient {
  readonly numerator: Sum
  readonly divisor: number
}

export class Algebra {
  /** Of every text that was handed out. */
  readonly #sums = new Map<string, Sum>()
  /** Of the factors that are quotients by a number: these can be joined with what divides them again. */
  readonly #quotients = new Map<string, Quotient>()
  #unknowns = 0

  /** A name as the model declares it. The same text is the same dimension. */
  named(name: string): Dimension {
    if (name === '' || name.length > MAX_TEXT) return null
    if (!this.#sums.has(name)) this.#sums.set(name, factorSum(isName(name) ? name : quoteName(name)))
    return name
  }

  /** A name that was handed out, or may be: no expression has taken this text. */
  isFree(name: string): boolean {
    return isName(name) || !this.#sums.has(name)
  }

  /** A size that nothing is known of, but that it is the same wherever this text stands. */
  unknown(): string {
    let text: string
    do text = `?${++this.#unknowns}`
    while (this.#sums.has(text))
    this.#sums.set(text, factorSum(text))
    return text
  }

  /** To tell later which unknowns are younger: see `isYoungerThan`. */
  mark(): number {
    return this.#unknowns
  }

  /** Whether an unknown is part of it that was made after the mark. */
  isYoungerThan(dimension: Dimension, mark: number): boolean {
    if (typeof dimension !== 'string') return false
    for (const [, digits] of dimension.matchAll(/\?(\d+)/g)) if (Number(digits) > mark) return true
    return false
  }

  add(left: Dimension, right: Dimension): Dimension {
    if (typeof left === 'number' && typeof right === 'number') return safe(left + right)
    if (left === 0) return right
    if (right === 0) return left
    return this.#combine(left, right, addSums)
  }

  subtract(left: Dimension, right: Dimension): Dimension {
    return this.add(left, this.multiply(right, -1))
  }

  multiply(left: Dimension, right: Dimension): Dimension {
    if (typeof left === 'number' && typeof right === 'number') return safe(left * right)
    if (left === 0 || right === 0) return 0
    if (left === 1) return right
    if (right === 1) return left
    return this.#combine(left, right, multiplySums)
  }

  product(dimensions: readonly Dimension[]): Dimension {
    if (dimensions.includes(0)) return 0
    return dimensions.reduce<Dimension>((product, dimension) => this.multiply(product, dimension), 1)
  }

  sum(dimensions: readonly Dimension[]): Dimension {
    return dimensions.reduce<Dimension>((sum, dimension) => this.add(sum, dimension), 0)
  }

  /** Rounded down; null for a divisor that may be negative or is 0. */
  floorDivide(left: Dimension, right: Dimension): Dimension {
    if (right === 1) return left
    if (typeof left === 'number' && typeof right === 'number') return right > 0 ? safe(Math.floor(left / right)) : null
    const [numerator, divisor] = [this.#sum(left), this.#sum(right)]
    if (numerator === undefined || divisor === undefined) return null
    const number = constantOf(divisor)
    const quotient = number === undefined ? this.#divideBySum(numerator, divisor) : this.#divide(numerator, number)
    return quotient === undefined ? null : this.#text(quotient)
  }

  /** Rounded up. */
  ceilDivide(left: Dimension, right: number): Dimension {
    return right >= 1 ? this.floorDivide(this.add(left, right - 1), right) : null
  }

  /** The quotient where it is certain that the division leaves nothing. */
  divideExactly(left: Dimension, right: Dimension): Dimension {
    const [numerator, divisor] = [this.#sum(left), this.#sum(right)]
    const quotient = numerator && divisor && divideExactly(numerator, divisor)
    return quotient === undefined ? null : this.#text(quotient)
  }

  /** Certain that left <= right, whatever the names stand for. */
  isAtMost(left: Dimension, right: Dimension): boolean {
    if (typeof left === 'number' && typeof right === 'number') return left <= right
    if (left === Infinity || right === Infinity) return right === Infinity
    if (left === right && left !== null) return true
    return this.#isNeverNegative(this.subtract(right, left))
  }

  max(left: Dimension, right: Dimension): Dimension {
    if (this.isAtMost(left, right)) return right
    if (this.isAtMost(right, left)) return left
    return this.#choice('max', left, right, this.#isNeverNegative(left) || this.#isNeverNegative(right))
  }

  min(left: Dimension, right: Dimension): Dimension {
    if (this.isAtMost(left, right)) return left
    if (this.isAtMost(right, left)) return right
    return this.#choice('min', left, right, this.#isNeverNegative(left) && this.#isNeverNegative(right))
  }

  /** Two sizes that are stretched to each other: where one is 1, the other. */
  broadcast(left: Dimension, right: Dimension): Dimension {
    if (left === right || right === 1) return left
    if (left === 1) return right
    // Only 1 is stretched, so any other number must be what the other side is too.
    if (typeof left === 'number' || typeof right === 'number') return typeof left === 'number' ? left : right
    return this.#choice('broadcast', left, right, true)
  }

  isNeverNegative(dimension: Dimension): boolean {
    return this.#isNeverNegative(dimension)
  }

  #isNeverNegative(dimension: Dimension): boolean {
    if (typeof dimension === 'number') return dimension >= 0
    const sum = this.#sum(dimension)
    return sum !== undefined && isNeverNegative(sum)
  }

  /** Every factor is at least 0 (the arithmetic above relies on it), so a choice that might be less gets no name. */
  #choice(word: string, left: Dimension, right: Dimension, neverNegative: boolean): Dimension {
    if (!neverNegative || !isKnown(left) || !isKnown(right)) return null
    const [first, second] = [this.#spell(left), this.#spell(right)].sort()
    const factor = `${word}(${first!},${second!})`
    return factor.length > MAX_TEXT ? null : this.#text(factorSum(factor))
  }

  /** As it stands inside an expression: names that are no plain words are quoted. */
  #spell(dimension: number | string): string {
    return printSum(this.#sum(dimension)!)
  }

  #combine(left: Dimension, right: Dimension, operation: (a: Sum, b: Sum) => Sum | undefined): Dimension {
    const [a, b] = [this.#sum(left), this.#sum(right)]
    const result = a && b && operation(a, b)
    return result === undefined ? null : this.#text(result)
  }

  #sum(dimension: Dimension): Sum | undefined {
    if (dimension === null) return undefined
    if (typeof dimension === 'string') return this.#sums.get(dimension)
    return Number.isSafeInteger(dimension) ? constantSum(dimension) : undefined
  }

  #text(sum: Sum): Dimension {
    const constant = constantOf(sum)
    if (constant !== undefined) return constant
    let text = printSum(sum)
    const alone = sum.length === 1 && sum[0]!.coefficient === 1 && sum[0]!.factors.length === 1
    // A quoted name needs no quotes where nothing stands beside it.
    if (alone && sum[0]!.factors[0]!.startsWith('"')) text = JSON.parse(text) as string
    // A declared name that reads like an expression keeps its text.
    else if (this.#sums.has(text) && printSum(this.#sums.get(text)!) !== text) text = `(${text})`
    if (text.length > MAX_TEXT) return null
    if (!this.#sums.has(text)) this.#sums.set(text, sum)
    return text
  }

  /** floor(sum / divisor): whole parts go out of the quotient, so that (h - 1) / 2 and (h + 1) / 2 - 1 are one. */
  #divide(sum: Sum, divisor: number): Sum | undefined {
    if (divisor < 1) return undefined
    if (divisor === 1) return sum
    const nested = this.#joined(sum, divisor)
    if (nested !== undefined) return this.#divide(nested.numerator, nested.divisor)
    const whole: Term[] = []
    const rest: Term[] = []
    for (const { factors, coefficient } of sum) {
      const quotient = Math.floor(coefficient / divisor)
      if (quotient !== 0) whole.push({ factors, coefficient: quotient })
      const remainder = coefficient - quotient * divisor
      if (remainder !== 0) rest.push({ factors, coefficient: remainder })
    }
    if (constantOf(rest) !== undefined) return whole
    const reduced = this.#reduced(rest, divisor)
    if (reduced.divisor === 1) return addSums(whole, reduced.numerator)
    const factor = printQuotient(reduced.numerator, constantSum(reduced.divisor))
    if (factor.length > MAX_TEXT) return undefined
    this.#quotients.set(factor, reduced)
    return addSums(whole, factorSum(factor))
  }

  /** (2h + 3) / 4 is (h + 1) / 2. */
  #reduced(numerator: Sum, divisor: number): Quotient {
    const common = numerator.reduce(
      (common, { factors, coefficient }) => (factors.length === 0 ? common : greatestDivisor(common, coefficient)),
      divisor,
    )
    const terms = numerator.map(({ factors, coefficient }) => ({
      factors,
      coefficient: Math.floor(coefficient / common),
    }))
    return { numerator: terms.filter(({ coefficient }) => coefficient !== 0), divisor: divisor / common }
  }

  /** (p / k + x) / n is (p + k x) / (k n) where p / k stands there once: what a chain of strides makes. */
  #joined(sum: Sum, divisor: number): Quotient | undefined {
    const inner = sum.find(({ factors, coefficient }) => {
      return coefficient === 1 && factors.length === 1 && this.#quotients.has(factors[0]!)
    })
    if (inner === undefined) return undefined
    const quotient = this.#quotients.get(inner.factors[0]!)!
    if (!Number.isSafeInteger(quotient.divisor * divisor)) return undefined
    const others = scaleSum(
      sum.filter((term) => term !== inner),
      quotient.divisor,
    )
    const numerator = others && addSums(others, quotient.numerator)
    return numerator === undefined ? undefined : { numerator, divisor: quotient.divisor * divisor }
  }

  #divideBySum(sum: Sum, divisor: Sum): Sum | undefined {
    const exact = divideExactly(sum, divisor)
    if (exact !== undefined) return exact
    if (!isNeverNegative(sum) || !isNeverNegative(divisor)) return undefined
    const common = [commonTerm(sum, divisor)]
    const factor = printQuotient(divideExactly(sum, common)!, divideExactly(divisor, common)!)
    return factor.length > MAX_TEXT ? undefined : factorSum(factor)
  }
}

function isKnown(dimension: Dimension): dimension is number | string {
  return dimension !== null && (typeof dimension === 'string' || Number.isSafeInteger(dimension))
}

/** Without the sign of a zero. */
function safe(value: number): Dimension {
  return Number.isSafeInteger(value) ? value + 0 : null
}
