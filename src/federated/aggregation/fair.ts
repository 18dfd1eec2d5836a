/** q-FedAvg (Li, Sanjabi, Beirami, Smith, arXiv 1905.10497): members whose loss is high pull more. */
import { ParameterRangeError } from '../errors.ts'
import { l2Norm } from '../privacy/clipping.ts'
import { checkInput, moved } from './arithmetic.ts'
import { real, serverRate } from './parameters.ts'
import type { Strategy, StrategyParameters } from './types.ts'

/**
 * Of one member: F^q, and its part of the divisor, q F^(q-1) |D|^2 / lr + F^q. In the paper both are multiplied with
 * L = 1 / lr, which cancels.
 */
export function fairShare(
  loss: number,
  norm: number,
  q: number,
  lr: number,
): { readonly factor: number; readonly part: number } {
  if (!(loss > 0)) throw new ParameterRangeError(`q-FedAvg needs losses above 0, not ${loss}`)
  const factor = loss ** q
  return { factor, part: (q * loss ** (q - 1) * norm * norm) / lr + factor }
}

export function qFedAvg(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const q = real(parameters, 'q', { least: 0 })
  const lr = real(parameters, 'lr', { above: 0 })
  return {
    name: 'qfedavg',
    sees: 'sum',
    aggregate(input) {
      checkInput(input)
      const { clients, global } = input
      // One member without a loss stands for a sum that was divided already.
      const sum = new Float64Array(global.length)
      let divisor = 0
      for (const { update, loss = 0 } of clients) {
        const share = clients.length === 1 && loss === 0 ? { factor: 1, part: 1 } : fairShare(loss, norm(update), q, lr)
        divisor += share.part
        for (const [index, value] of update.entries()) sum[index]! += share.factor * value
      }
      return { global: moved(global, rate / divisor, sum), state: {} }
    },
  }
}

function norm(values: Float64Array): number {
  return l2Norm(values)
}
