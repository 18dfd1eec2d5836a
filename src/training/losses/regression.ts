/** Losses over numbers, times and orders. */
import type { GraphMaker } from '../graph/graph-maker.ts'
import { meanOf } from '../graph/reductions.ts'
import type { LossInputs, LossSpec } from './types.ts'

type Spec<Kind extends LossSpec['kind']> = Extract<LossSpec, { kind: Kind }>

/** Mean of (score - target)^2 over all elements; a weight is one an example, so both are [batch] then. */
export function meanSquares(maker: GraphMaker, { scores, target, weight }: LossInputs): string {
  const apart = maker.op('Sub', [scores, target])
  return meanOf(maker, maker.op('Mul', [apart, apart]), weight)
}

/** With c = min(|d|, delta): c (|d| - c / 2), which is d^2 / 2 inside and delta (|d| - delta / 2) outside. */
export function huber(maker: GraphMaker, { scores, target, weight }: LossInputs, { delta = 1 }: Spec<'huber'>): string {
  const size = maker.op('Abs', [maker.op('Sub', [scores, target])])
  const inside = maker.op('Min', [size, maker.scalar(delta)])
  const rest = maker.op('Sub', [size, maker.op('Mul', [inside, maker.scalar(0.5)])])
  return meanOf(maker, maker.op('Mul', [inside, rest]), weight)
}

/**
 * Cox's partial likelihood over the batch, (1/N) sum over events i of (ln sum over j at risk of e^s_j - s_i). Rows come in
 * by falling time. Without ties, those at risk at row i are the rows up to i; `last` (int64 [batch]) is for each row the
 * last row of its time, so that ties are all at risk together (Breslow 1974).
 */
export function coxPartialLikelihood(
  maker: GraphMaker,
  { scores, event, last }: { readonly scores: string; readonly event: string; readonly last?: string | undefined },
): string {
  // The largest score is taken out of the exponentials: it cancels, so no gradient has to flow through it.
  const most = maker.op('ReduceMax', [scores], { keepdims: 0 })
  const risks = maker.op('Exp', [maker.op('Sub', [scores, most])])
  const summed = maker.op('CumSum', [risks, maker.constant('int64', [], [0])])
  const atRisk = last === undefined ? summed : maker.op('Gather', [summed, last], { axis: 0 })
  const logs = maker.op('Add', [maker.op('Log', [atRisk]), most])
  const each = maker.op('Mul', [event, maker.op('Sub', [logs, scores])])
  return meanOf(maker, each)
}

/** Mean of softplus(other - wanted): the scores of what was chosen, the target those of what was not. */
export function bayesianRanking(maker: GraphMaker, { scores, target, weight }: LossInputs): string {
  return meanOf(maker, maker.op('Softplus', [maker.op('Sub', [target, scores])]), weight)
}
