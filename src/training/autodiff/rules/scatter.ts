/** Operators that put updates into their places in data: in the place of what is there, or added to it, multiplied, compared. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** How an operator takes from places, and puts there. */
interface Places {
  /** What stands at the places of the updates. */
  readonly at: (value: string) => string
  readonly put: (data: string, updates: string, reduction: string) => string
}

const elements = (site: GradientSite): Places => {
  const [indices, axis] = [site.input(1), site.int('axis', 0)]
  return {
    at: (value) => site.op('GatherElements', [value, indices], { axis }),
    put: (data, updates, reduction) => site.op('ScatterElements', [data, indices, updates], { axis, reduction }),
  }
}

const slices = (site: GradientSite): Places => ({
  at: (value) => site.op('GatherND', [value, site.input(1)]),
  put: (data, updates, reduction) => site.op('ScatterND', [data, site.input(1), updates], { reduction }),
})

/** Into the data where it was not overwritten, into the updates from their places. */
const scatter =
  (placesOf: (site: GradientSite) => Places): GradientRule =>
  (site) => {
    const places = placesOf(site)
    const reduction = site.text('reduction', 'none')
    if (reduction === 'mul') return multiplied(site, places)
    if (reduction === 'max' || reduction === 'min') return compared(site, places)
    if (reduction !== 'none' && reduction !== 'add') throw site.refusal(`its reduction is "${reduction}"`)
    const { gradient } = site
    const isAdded = reduction === 'add'
    const toData = (): string => (isAdded ? gradient : places.put(gradient, site.zerosLike(site.input(2)), 'none'))
    return [site.wants(0) ? toData() : undefined, undefined, site.wants(2) ? places.at(gradient) : undefined]
  }

/** The product of the others, also where some factors are 0: at such a place only the only zero has a gradient. */
function multiplied(site: GradientSite, { at, put }: Places): readonly (string | undefined)[] {
  const [data, updates] = [site.input(0), site.input(2)]
  const isZero = (value: string): string => site.op('Equal', [value, site.number(0)])
  const others = (value: string): string => site.op('Where', [isZero(value), site.number(1), value])
  const whole = put(others(data), others(updates), 'mul')
  const zeros = put(site.indicator(isZero(data)), site.indicator(isZero(updates)), 'add')
  const share = (value: string, there: (all: string) => string): string => {
    const left = site.sub(there(zeros), site.indicator(isZero(value)))
    const rest = site.div(site.mul(there(site.gradient), there(whole)), others(value))
    return site.op('Where', [isZero(left), rest, site.number(0)])
  }
  return [
    site.wants(0) ? share(data, (all) => all) : undefined,
    undefined,
    site.wants(2) ? share(updates, at) : undefined,
  ]
}

/** To what is the result, in equal shares. */
function compared(site: GradientSite, { at, put }: Places): readonly (string | undefined)[] {
  const [data, updates, result] = [site.input(0), site.input(2), site.output(0)]
  const [isData, isUpdate] = [
    site.indicator(site.op('Equal', [data, result])),
    site.indicator(site.op('Equal', [updates, at(result)])),
  ]
  const many = put(isData, isUpdate, 'add')
  const each = site.div(site.gradient, many)
  return [
    site.wants(0) ? site.mul(isData, each) : undefined,
    undefined,
    site.wants(2) ? site.mul(isUpdate, at(each)) : undefined,
  ]
}

export const SCATTER: readonly RuleFamily[] = [
  { operators: 'ScatterElements', rule: scatter(elements) },
  { operators: 'ScatterND', rule: scatter(slices) },
]
