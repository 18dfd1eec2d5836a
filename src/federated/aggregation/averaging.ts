/** Strategies that need no more than a weighted sum, so that they work under secure aggregation. */
import { ParameterRangeError } from '../errors.ts'
import { checkInput, difference, moved, shares, stateOf, weightedSum } from './arithmetic.ts'
import { real, serverRate, weighting } from './parameters.ts'
import type { Aggregation, AggregationInput, ClientUpdate, Strategy, StrategyParameters } from './types.ts'

/** D = sum p_k D_k */
function average({ clients }: AggregationInput, parameters: StrategyParameters): Float64Array {
  const updates = clients.map(({ update }) => update)
  return weightedSum(updates, shares(clients, weighting(parameters)))
}

/** Local steps. @throws ParameterRangeError */
function stepsOf({ steps }: ClientUpdate, party: number): number {
  if (steps === undefined || !Number.isFinite(steps) || steps <= 0) {
    throw new ParameterRangeError(`member ${party} does not say how many local steps it took`, { party })
  }
  return steps
}

/** McMahan et al., arXiv 1602.05629. FedProx is the same here: its term is in the local loss. */
export function fedAvg(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  weighting(parameters)
  return {
    name: 'fedavg',
    sees: 'sum',
    aggregate(input) {
      checkInput(input)
      return { global: moved(input.global, rate, average(input, parameters)), state: {} }
    },
  }
}

/** Hsu, Qi, Brown, arXiv 1909.06335. */
export function fedAvgM(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const momentum = real(parameters, 'momentum', { least: 0 }, 0.9)
  weighting(parameters)
  return {
    name: 'fedavgm',
    sees: 'sum',
    aggregate(input) {
      checkInput(input)
      const old = stateOf(input, 'm')
      const m = average(input, parameters).map((value, index) => momentum * old[index]! + value)
      return { global: moved(input.global, rate, m), state: { m } }
    },
  }
}

type Adaptive = 'fedadagrad' | 'fedadam' | 'fedyogi'

/** The second moment; b is beta2, g the square of the aggregate. */
const SECOND: Readonly<Record<Adaptive, (v: number, g: number, b: number) => number>> = {
  fedadagrad: (v, g) => v + g,
  fedadam: (v, g, b) => b * v + (1 - b) * g,
  fedyogi: (v, g, b) => v - (1 - b) * g * Math.sign(v - g),
}

/** Reddi et al., arXiv 2003.00295: adaptive server optimizers, without the bias correction of Adam. */
export function adaptive(name: Adaptive): (parameters: StrategyParameters) => Strategy {
  return (parameters) => {
    const rate = serverRate(parameters)
    const beta1 = real(parameters, 'beta1', { least: 0, below: 1 }, name === 'fedadagrad' ? 0 : 0.9)
    const beta2 = real(parameters, 'beta2', { least: 0, below: 1 }, 0.99)
    const tau = real(parameters, 'tau', { above: 0 }, 1e-3)
    weighting(parameters)
    return {
      name,
      sees: 'sum',
      aggregate(input) {
        checkInput(input)
        const [oldM, oldV] = [stateOf(input, 'm'), stateOf(input, 'v')]
        const aggregate = average(input, parameters)
        const m = aggregate.map((value, index) => beta1 * oldM[index]! + (1 - beta1) * value)
        const v = aggregate.map((value, index) => SECOND[name](oldV[index]!, value * value, beta2))
        const direction = m.map((value, index) => value / (Math.sqrt(v[index]!) + tau))
        return { global: moved(input.global, rate, direction), state: { m, v } }
      },
    }
  }
}

/** Wang et al., arXiv 2007.07481: members that took more local steps do not pull the model towards themselves. */
export function fedNova(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  weighting(parameters)
  return {
    name: 'fednova',
    sees: 'sum',
    aggregate(input) {
      checkInput(input)
      const steps = input.clients.map(stepsOf)
      const p = shares(input.clients, weighting(parameters))
      const effective = p.reduce((sum, share, party) => sum + share * steps[party]!, 0)
      const normalised = weightedSum(
        input.clients.map(({ update }) => update),
        p.map((share, party) => share / steps[party]!),
      )
      return { global: moved(input.global, rate * effective, normalised), state: {} }
    },
  }
}

/** Karimireddy et al., arXiv 1910.06378, option II; the local gradient is g - c_k + c. */
export function scaffold(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const localRate = real(parameters, 'lr', { above: 0 })
  const total = parameters['total_clients'] === undefined ? undefined : real(parameters, 'total_clients', { above: 0 })
  const by = weighting(parameters, 'uniform')
  return {
    name: 'scaffold',
    sees: 'sum',
    aggregate(input): Aggregation {
      checkInput(input)
      const { global, clients } = input
      const c = stateOf(input, 'c')
      const zero = new Float64Array(global.length)
      const controls = clients.map((client, party) => {
        const [own, scale] = [client.control ?? zero, stepsOf(client, party) * localRate]
        return own.map((value, index) => value - c[index]! - client.update[index]! / scale)
      })
      const changes = controls.map((control, party) => difference(control, clients[party]!.control ?? zero))
      const change = weightedSum(
        changes,
        changes.map(() => 1 / (total ?? clients.length)),
      )
      const direction = weightedSum(
        clients.map(({ update }) => update),
        shares(clients, by),
      )
      return { global: moved(global, rate, direction), state: { c: moved(c, 1, change) }, controls }
    },
  }
}

/** Nguyen et al., arXiv 2106.06639: updates of different age, weighed down by the square root of it. */
export function fedBuff(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  return {
    name: 'fedbuff',
    sees: 'sum',
    aggregate(input) {
      checkInput(input)
      const weights = input.clients.map(({ staleness = 0 }, party) => {
        if (!Number.isFinite(staleness) || staleness < 0) {
          throw new ParameterRangeError(`member ${party} cannot have staleness ${staleness}`, { party })
        }
        return 1 / (input.clients.length * Math.sqrt(1 + staleness))
      })
      const direction = weightedSum(
        input.clients.map(({ update }) => update),
        weights,
      )
      return { global: moved(input.global, rate, direction), state: {} }
    },
  }
}
