/** Strategies by name. */
import { ParameterRangeError } from '../errors.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { adaptive, fedAvg, fedAvgM, fedBuff, fedNova, scaffold } from './averaging.ts'
import { bucketed } from './bucketed.ts'
import { qFedAvg } from './fair.ts'
import { bulyan, krum, multiKrum } from './krum.ts'
import { geometricMedian, median, trimmed } from './robust.ts'
import type { Strategy, StrategyParameters } from './types.ts'

const MAKERS: ReadonlyMap<string, (parameters: StrategyParameters) => Strategy> = new Map([
  ['fedavg', fedAvg],
  ['fedprox', fedAvg],
  ['fedavgm', fedAvgM],
  ['fedadagrad', adaptive('fedadagrad')],
  ['fedadam', adaptive('fedadam')],
  ['fedyogi', adaptive('fedyogi')],
  ['fednova', fedNova],
  ['scaffold', scaffold],
  ['qfedavg', qFedAvg],
  ['fedbuff', fedBuff],
  ['median', median],
  ['trimmed', trimmed],
  ['krum', krum],
  ['multikrum', multiKrum],
  ['bulyan', bulyan],
  ['geomedian', geometricMedian],
  ['bucketed', bucketed(nodePrimitives)],
])

export const STRATEGIES: readonly string[] = [...MAKERS.keys()]

/** @throws ParameterRangeError for a name that is none, and for parameters out of their ranges */
export function createStrategy(name: string, parameters: StrategyParameters = {}): Strategy {
  const make = MAKERS.get(name)
  if (make === undefined)
    throw new ParameterRangeError(`there is no strategy "${name}"; there are ${STRATEGIES.join(', ')}`)
  return make(parameters)
}
