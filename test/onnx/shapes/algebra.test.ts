/** Names of sizes: equal expressions have equal texts, and a text says what was calculated. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Dimension } from '../../../src/onnx/ir/index.ts'
import { Algebra } from '../../../src/onnx/shapes/algebra.ts'
import { dimensionSize } from '../../../src/onnx/shapes/index.ts'

const algebra = new Algebra()
const h = algebra.named('height')
const b = algebra.named('batch')

describe('texts', () => {
  it.each<[Dimension, Dimension]>([
    [algebra.floorDivide(h, 2), 'height/2'],
    [algebra.multiply(b, 8), 'batch*8'],
    [algebra.multiply(8, b), 'batch*8'],
    [algebra.add(h, b), 'batch+height'],
    [algebra.subtract(h, 1), 'height-1'],
    [algebra.ceilDivide(h, 2), '(height+1)/2'],
    // A stride of 2 with a kernel of 3 and pads of 1, twice.
    [algebra.add(algebra.floorDivide(algebra.subtract(h, 1), 2), 1), '(height+1)/2'],
    [algebra.floorDivide(algebra.add(algebra.floorDivide(algebra.add(h, 1), 2), 1), 2), '(height+3)/4'],
    [algebra.floorDivide(algebra.multiply(algebra.add(h, b), 4), 4), 'batch+height'],
    [algebra.divideExactly(algebra.multiply(h, algebra.multiply(b, 6)), algebra.multiply(b, 3)), 'height*2'],
    [algebra.floorDivide(algebra.multiply(h, 6), algebra.multiply(b, 4)), 'height*3/(batch*2)'],
    [algebra.subtract(algebra.add(h, b), h), 'batch'],
    [algebra.subtract(h, h), 0],
    [algebra.max(algebra.subtract(h, 1), 0), 'max(0,height-1)'],
    [algebra.max(h, algebra.add(h, 3)), 'height+3'],
    [algebra.broadcast(h, 1), 'height'],
    [algebra.broadcast(h, 7), 7],
    [algebra.broadcast(h, b), 'broadcast(batch,height)'],
    [algebra.broadcast(b, h), 'broadcast(batch,height)'],
    [algebra.multiply(2 ** 52, h), 'height*4503599627370496'],
    [algebra.multiply(2 ** 52, 4), null],
    [algebra.multiply(algebra.multiply(2 ** 52, h), 4), null],
    [algebra.floorDivide(h, 0), null],
    [algebra.floorDivide(h, -2), null],
    [algebra.add(h, null), null],
    [algebra.min(algebra.subtract(h, b), 0), null],
  ])('%s', (made, text) => {
    expect(made).toEqual(text)
  })

  it('a name that reads like an expression stays a name, whole and inside others', () => {
    const own = new Algebra()
    const odd = own.named('a+b')
    const sum = own.add(own.named('a'), own.named('b'))
    expect([odd, sum]).toEqual(['a+b', '(a+b)'])
    expect(own.subtract(own.add(sum, odd), odd)).toBe('(a+b)')
    const spaced = own.named('past length + 1')
    const twice = own.multiply(spaced, 2)
    expect(twice).toBe('"past length + 1"*2')
    expect(dimensionSize(twice, (name) => (name === 'past length + 1' ? 5 : 0))).toBe(10)
    expect(own.floorDivide(twice, 2)).toBe('past length + 1')
    expect(dimensionSize(spaced, (name) => (name === 'past length + 1' ? 5 : 0))).toBe(5)
    expect(dimensionSize('batch-size', (name) => (name === 'batch-size' ? 3 : 0))).toBe(3)
  })

  it('unknowns do not meet names that look like them', () => {
    const own = new Algebra()
    own.named('?1')
    expect(own.unknown()).not.toBe('?1')
  })

  it('free names count as 1, and what is no expression is a name', () => {
    expect(dimensionSize('height/2')).toBe(0)
    expect(dimensionSize('batch*8')).toBe(8)
    expect(dimensionSize(null)).toBe(1)
    expect(dimensionSize('((((', () => 4)).toBe(4)
    expect(dimensionSize('a/0', () => 4)).toBe(4)
    expect(dimensionSize('('.repeat(100_000), () => 4)).toBe(4)
  })
})

/** A calculation, twice: on names, and on numbers. */
interface Step {
  readonly name: string
  readonly on: (algebra: Algebra, a: Dimension, b: Dimension, k: number) => Dimension
  readonly numbers: (a: number, b: number, k: number) => number
}

const STEPS: readonly Step[] = [
  { name: 'add', on: (on, a, b) => on.add(a, b), numbers: (a, b) => a + b },
  { name: 'subtract', on: (on, a, b) => on.subtract(a, b), numbers: (a, b) => a - b },
  { name: 'multiply', on: (on, a, b) => on.multiply(a, b), numbers: (a, b) => a * b },
  { name: 'times', on: (on, a, _, k) => on.multiply(a, k), numbers: (a, _, k) => a * k },
  { name: 'floor', on: (on, a, _, k) => on.floorDivide(a, k), numbers: (a, _, k) => Math.floor(a / k) },
  { name: 'ceil', on: (on, a, _, k) => on.ceilDivide(a, k), numbers: (a, _, k) => Math.ceil(a / k) },
  {
    name: 'divide',
    on: (on, a, b) => on.floorDivide(a, b),
    numbers: (a, b) => (b > 0 ? Math.floor(a / b) : Number.NaN),
  },
  { name: 'max', on: (on, a, b) => on.max(a, b), numbers: (a, b) => Math.max(a, b) },
  { name: 'min', on: (on, a, b) => on.min(a, b), numbers: (a, b) => Math.min(a, b) },
]

it('an expression that is bound afterwards is the number that was calculated', () => {
  const sizes = fc.integer({ min: 0, max: 12 })
  const plan = fc.array(fc.tuple(fc.nat(STEPS.length - 1), fc.nat(20), fc.nat(20), fc.integer({ min: 1, max: 5 })), {
    maxLength: 8,
  })
  fc.assert(
    fc.property(plan, fc.tuple(sizes, sizes, sizes), (steps, [x, y, z]) => {
      const own = new Algebra()
      const bound = new Map<string | null, number>([
        ['x', x],
        ['y', y],
        ['z z', z],
      ])
      const names: Dimension[] = [own.named('x'), own.named('y'), own.named('z z'), 3]
      const numbers = [x, y, z, 3]
      for (const [step, left, right, k] of steps) {
        const [a, b] = [left % names.length, right % names.length]
        names.push(STEPS[step]!.on(own, names[a]!, names[b]!, k))
        numbers.push(STEPS[step]!.numbers(numbers[a]!, numbers[b]!, k))
      }
      for (const [at, name] of names.entries()) {
        if (name === null || Number.isNaN(numbers[at])) continue
        expect(
          dimensionSize(name, (free) => bound.get(free)!),
          String(name),
        ).toBe(numbers[at]! + 0)
      }
    }),
    { numRuns: 1000 },
  )
})
