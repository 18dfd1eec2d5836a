/** `dp-rdp`, `dp-pld`, `dp-gauss`, `dp-distributed`: what steps of a mechanism cost. */
import {
  composedEpsilon,
  composedRdp,
  distributedEpsilon,
  epsilonOfRdp,
  gaussianEpsilon,
  noiseBounds,
  ParameterRangeError,
  rdpEpsilon,
  shareSigmaOf,
} from '../../../federated/index.ts'
import type { DistributedNoise, GaussianEvent, Rounding, Spending } from '../../../federated/index.ts'
import { objectsOf, optionalReals, realOf, shownReal } from './numbers.ts'
import { Refusal } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

const ROUNDINGS: readonly Rounding[] = ['conditional', 'worst', 'none']

export const rdpSuite: Suite = () => (input) => {
  const [events, delta] = [eventsOf(input), realOf(input, 'delta')]
  const orders = optionalReals(input, 'orders')
  if (orders === undefined) return shown(rdpEpsilon(events, delta))
  const rdp = composedRdp(events, orders)
  return { ...shown(epsilonOfRdp(orders, rdp, delta)), rdp: rdp.map(shownReal) }
}

export const pldSuite: Suite = () => (input) => ({
  epsilon: shownReal(composedEpsilon(eventsOf(input), realOf(input, 'delta'))),
})

export const gaussSuite: Suite = () => (input) => ({
  epsilon: shownReal(gaussianEpsilon(realOf(input, 'sigma'), realOf(input, 'steps'), realOf(input, 'delta'))),
})

export const distributedSuite: Suite = () => (input) => {
  const { mechanism = 'gaussian' } = input
  if (mechanism !== 'skellam' && mechanism !== 'gaussian') throw new Refusal('malformed', '"mechanism" is none known')
  const rounding = ROUNDINGS.find((one) => one === (input['rounding'] ?? 'conditional'))
  if (rounding === undefined) throw new Refusal('malformed', `"rounding" is none of ${ROUNDINGS.join(', ')}`)
  const [n, clip, f] = [realOf(input, 'n'), realOf(input, 'C'), realOf(input, 'f')]
  const shareSigma =
    input['sigma_i'] === undefined ? shareSigmaOf(multiplierOf(input), clip, f, n) : realOf(input, 'sigma_i')
  const noise: DistributedNoise = { n, clip, f, d: realOf(input, 'd'), shareSigma, mechanism, rounding }
  const { delta2, delta1, tau } = noiseBounds(noise)
  const [steps, delta, q] = [realOf(input, 'steps'), realOf(input, 'delta'), realOf(input, 'q', 1)]
  const spent = distributedEpsilon(noise, steps, delta, q, optionalReals(input, 'orders'))
  return { delta2, delta1, sigma_i: shareSigma, tau, ...shown(spent) }
}

function multiplierOf(input: VectorCase): number {
  const z = realOf(input, 'z')
  if (!(z >= 0)) throw new ParameterRangeError(`z = ${z} is not 0 or more`)
  return z
}

/** One event, or a list of them. */
function eventsOf(input: VectorCase): GaussianEvent[] {
  const list = input['events'] === undefined ? [input] : objectsOf(input, 'events')
  return list.map((event) => ({
    q: realOf(event, 'q'),
    sigma: realOf(event, 'sigma'),
    steps: realOf(event, 'steps'),
  }))
}

function shown({ epsilon, order }: Spending): VectorCase {
  return { epsilon: shownReal(epsilon), order }
}
