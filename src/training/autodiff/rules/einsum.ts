/** Einsum: the gradient of an operand is the sum of products of all the others with the gradient of the result. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** An equation with its ellipses spelt out: what dimensions they stand for, aligned at the last. */
interface Equation {
  readonly terms: readonly string[]
  readonly result: string
  /** Letters that stand for dimensions of an ellipsis: an operand may have 1 there. */
  readonly shared: ReadonlySet<string>
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

const einsum: GradientRule = (site) => {
  const equation = parse(site)
  needEqualSizes(site, equation)
  return site.node.inputs.map((_, index) => (site.wants(index) ? gradientOf(site, equation, index) : undefined))
}

/**
 * The engine takes 1 beside another size for a letter too, but says the wrong shape of the result, so products of what
 * flows back cannot count on it.
 */
function needEqualSizes(site: GradientSite, { terms, shared }: Equation): void {
  const sizes = new Map<string, number>()
  for (const [index, term] of terms.entries()) {
    for (const [axis, letter] of term.split('').entries()) {
      const size = site.shape(site.input(index))?.[axis]
      if (typeof size !== 'number' || shared.has(letter)) continue
      const other = sizes.get(letter) ?? size
      if (other !== size) throw site.refusal(`"${letter}" of its equation stands for ${other} and for ${size} elements`)
      sizes.set(letter, size)
    }
  }
}

function gradientOf(site: GradientSite, { terms, result, shared }: Equation, index: number): string {
  const own = terms[index]!
  const name = site.input(index)
  const others = terms.flatMap((term, at) => (at === index ? [] : [{ term, value: site.input(at) }]))
  const factors = [{ term: result, value: site.gradient }, ...others]
  const { unique, diagonals } = withoutRepeats(site, own, name, [...terms, result].join(''))
  factors.push(...diagonals)
  const there = new Set(factors.map(({ term }) => term).join(''))
  const found = unique
    .split('')
    .filter((letter) => there.has(letter))
    .join('')
  const equation = `${factors.map(({ term }) => term).join()}->${found}`
  const product = site.op(
    'Einsum',
    factors.map(({ value }) => value),
    { equation },
  )
  const missing = unique.split('').flatMap((letter, axis) => (there.has(letter) ? [] : [axis]))
  const whole = missing.length === 0 ? product : stretched(site, product, missing, name)
  if (!own.split('').some((letter) => shared.has(letter))) return whole
  // Where the operand has 1 and others more, its element was used for all of them.
  const shape = unique.split('').map((letter, axis) => (shared.has(letter) ? null : (site.shape(name)?.[axis] ?? null)))
  return site.reduceTo(whole, shape, name)
}

/** Each letter of a term once, with identity matrices for the diagonals that repeated letters take. */
function withoutRepeats(
  site: GradientSite,
  term: string,
  name: string,
  taken: string,
): { readonly unique: string; readonly diagonals: readonly { readonly term: string; readonly value: string }[] } {
  const free = LETTERS.split('').filter((letter) => !taken.includes(letter))
  const diagonals: { readonly term: string; readonly value: string }[] = []
  let unique = ''
  for (const [axis, letter] of term.split('').entries()) {
    if (!unique.includes(letter)) unique += letter
    else {
      const other = free.shift() ?? site.refuse('its equation has too many letters')
      const size = site.size(name, axis)
      const square = site.op('Concat', [size, size], { axis: 0 })
      const value = site.op('EyeLike', [site.filled(site.floatType(name), 0, square)])
      diagonals.push({ term: letter + other, value })
      unique += other
    }
  }
  return { unique, diagonals }
}

/** Dimensions over which only this operand was summed. */
function stretched(site: GradientSite, product: string, missing: readonly number[], name: string): string {
  return site.op('Expand', [site.unsqueeze(product, missing), site.shapeTensor(name)])
}

function parse(site: GradientSite): Equation {
  const text = site.text('equation', '').replaceAll(' ', '')
  const [left = '', right] = text.split('->')
  const terms = left.split(',')
  const taken = new Set(text)
  const widths = terms.map((term, index) =>
    term.includes('...') ? site.needRank(site.input(index)) - (term.length - 3) : 0,
  )
  const widest = Math.max(0, ...widths)
  const spelt = LETTERS.split('')
    .filter((letter) => !taken.has(letter))
    .slice(0, widest)
    .join('')
  if (spelt.length < widest) throw site.refusal('its equation has too many letters')
  const expand = (term: string, width: number): string => term.replace('...', spelt.slice(widest - width))
  const expanded = terms.map((term, index) => expand(term, widths[index]!))
  const result = right === undefined ? implicit(expanded.join(''), spelt) : expand(right, widest)
  return { terms: expanded, result, shared: new Set(spelt) }
}

/** Without an arrow: the ellipsis, then the letters that stand once, in the order of the alphabet. */
function implicit(letters: string, spelt: string): string {
  const once = [...new Set(letters)].filter((letter) => !spelt.includes(letter) && letters.split(letter).length === 2)
  return spelt + once.sort().join('')
}

export const EINSUM: readonly RuleFamily[] = [{ operators: 'Einsum', rule: einsum }]
