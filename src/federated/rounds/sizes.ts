/** What the messages of a plan come to, before anybody trains: a state that no message can carry is refused at once. */
import { bucketsToBear } from '../aggregation/bucketed.ts'
import { MessageSizeError } from '../plan/errors.ts'
import type { FedPlan } from '../plan/schema.ts'
import { shared } from '../plan/strategy.ts'
import { extentOf } from '../plan/job-plan.ts'
import { packedBytes } from '../secagg/packing.ts'
import { sizeOf } from '../site/parameters.ts'
import type { ParameterShape } from '../site/parameters.ts'
import { clearBytes, vectorLayout } from './layout.ts'
import { RoundMath } from './math.ts'
import { MOST_MESSAGE_BYTES } from './pipe.ts'
import { FIRST_STATE } from './state.ts'
import type { FedState } from './state.ts'

/** Of a plan without privacy and of one with it: what a site sends in one round, all its sums together, without their frames. */
export function roundBytes(plan: FedPlan, shapes: readonly ParameterShape[], members: number): number {
  const { secagg = 'off', privacy = 'off' } = plan
  const d = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0)
  const { sumsOfEach } = extentOf(plan)
  if (privacy !== 'off' && secagg !== 'off') {
    const isAdaptive = privacy.adaptive !== undefined
    return sumsOfEach * packedBytes(d + (isAdaptive ? 1 : 0), secagg.bits)
  }
  // What is drawn differs between jobs; how much is sent does not.
  const math = new RoundMath(plan, members, 'sizes')
  const strategy = math.compression?.first(shapes) ?? {}
  const begun: FedState = { ...FIRST_STATE, pooled: { records: 1, columns: [] }, global: new Float32Array(d), strategy }
  let bytes = 0
  for (let done = 0; done < sumsOfEach; done++) {
    const shape = math.shape({ ...begun, done })
    bytes +=
      secagg === 'off'
        ? clearBytes(shape, 'float32')
        : packedBytes(vectorLayout(shape, secagg.bits, members).d, secagg.bits)
  }
  return bytes
}

/** Arrays of float64 that a strategy carries from round to round, as long as the model. */
const CARRIED: Readonly<Record<string, number>> = {
  fedavgm: 1,
  fedadagrad: 2,
  fedadam: 2,
  fedyogi: 2,
  scaffold: 1,
}

function carriedBy({ strategy }: FedPlan): number {
  if (strategy.name !== 'bucketed') return CARRIED[strategy.name] ?? 0
  return (strategy['rule'] === 'centred' ? 1 : 0) + (Number(strategy['momentum'] ?? 0) > 0 ? 1 : 0)
}

/** Of heads, names and statistics. */
const HEAD_BYTES = 1 << 20

/** @param parameters of the model. @throws MessageSizeError */
export function checkSize(plan: FedPlan, parameters: number): void {
  const state = parameters * (4 + 8 * carriedBy(plan)) + HEAD_BYTES
  const sums = sumsOf(plan)
  const { secagg = 'off' } = plan
  // In the clear 8: of a round with a member that reads float64 alone.
  const result =
    (secagg === 'off' ? 8 : secagg.bits / 8) * parameters * sums * (plan.strategy.name === 'scaffold' ? 2 : 1)
  const bytes = Math.max(state, result)
  if (bytes > MOST_MESSAGE_BYTES) {
    throw new MessageSizeError(`a model of ${parameters} parameters`, bytes, MOST_MESSAGE_BYTES)
  }
}

/** Sums that a result holds, at least: one of each member where each update is seen, one of each bucket. */
function sumsOf(plan: FedPlan): number {
  const sees = shared(plan, plan.name)
  if (sees === 'each') return plan.minimum?.sites ?? 3
  return sees === 'buckets' && plan.robust !== undefined ? bucketsToBear(plan.robust.attackers) : 1
}
