/** Losses over classes. */
import type { GraphMaker } from '../graph/graph-maker.ts'
import { meanOf, sumOf } from '../graph/reductions.ts'
import type { LossInputs, LossSpec } from './types.ts'

type Spec<Kind extends LossSpec['kind']> = Extract<LossSpec, { kind: Kind }>

/**
 * Mean of -sum(q ln softmax(scores)), q the one-hot target, smoothed. The target is int64 of any shape, the scores have
 * one axis more, of `classes`. With class weights or ignored labels it is the weighted mean, as torch has it.
 */
export function crossEntropy(
  maker: GraphMaker,
  { scores, target, weight }: LossInputs,
  spec: Spec<'cross-entropy'>,
  classes: number,
): string {
  const logs = maker.op('LogSoftmax', [scores], { axis: -1 })
  const depth = maker.constant('int64', [], [classes])
  // OneHot takes an index from -classes to classes - 1 and gives zeros for others: an ignored label must be of those.
  const hot = maker.op('OneHot', [target, depth, maker.constant('float32', [2], [0, 1])], { axis: -1 })
  const smoothing = spec.label_smoothing ?? 0
  const weights =
    spec.class_weights === undefined ? undefined : maker.constant('float32', [classes], spec.class_weights)
  const counted = countedOf(maker, target, spec.ignore)
  const wanted = weights === undefined ? hot : maker.op('Mul', [hot, weights])
  const sharp = maker.op('Neg', [sumOf(maker, maker.op('Mul', [wanted, logs]), [-1])])
  const weighed = [weight, counted, weights === undefined ? undefined : sumOf(maker, wanted, [-1])]
  if (smoothing === 0) return meanBy(maker, sharp, weighed, weights !== undefined)
  const spread = weights === undefined ? logs : maker.op('Mul', [logs, weights])
  const even = maker.op('Neg', [sumOf(maker, spread, [-1])])
  const parts = [
    maker.op('Mul', [sharp, maker.scalar(1 - smoothing)]),
    maker.op('Mul', [even, maker.scalar(smoothing / classes)]),
  ]
  return meanBy(maker, maker.op('Add', parts), weighed, weights !== undefined)
}

/** 1 where the label counts, 0 where it is the ignored one. */
function countedOf(maker: GraphMaker, target: string, ignore: number | undefined): string | undefined {
  if (ignore === undefined) return undefined
  const ignored = maker.op('Equal', [target, maker.constant('int64', [], [ignore])])
  return maker.op('Cast', [maker.op('Not', [ignored])], { to: 1 })
}

/**
 * The last weight stands in the loss already (that of the class): it is in the divisor alone.
 * @param isWeighed whether there is one
 */
function meanBy(
  maker: GraphMaker,
  loss: string,
  [example, counted, ofClass]: readonly (string | undefined)[],
  isWeighed: boolean,
): string {
  const masks = [example, counted].filter((name) => name !== undefined)
  const mask = masks.length === 2 ? maker.op('Mul', [masks[0], masks[1]]) : masks[0]
  if (!isWeighed) return meanOf(maker, loss, mask)
  const total = sumOf(maker, mask === undefined ? loss : maker.op('Mul', [loss, mask]))
  const weights = mask === undefined ? ofClass! : maker.op('Mul', [ofClass, mask])
  return maker.op('Div', [total, maker.op('Max', [sumOf(maker, weights), maker.scalar(1e-12)])])
}

/** softplus(z) - y z, which is -y ln s(z) - (1 - y) ln(1 - s(z)) without the loss of digits of either logarithm. */
export function binaryCrossEntropy(
  maker: GraphMaker,
  { scores, target, weight }: LossInputs,
  { positive_weight: positive = 1 }: Spec<'binary-cross-entropy'>,
): string {
  if (positive === 1) {
    const loss = maker.op('Sub', [maker.op('Softplus', [scores]), maker.op('Mul', [target, scores])])
    return meanOf(maker, loss, weight)
  }
  const wrong = maker.op('Mul', [maker.op('Sub', [maker.scalar(1), target]), maker.op('Softplus', [scores])])
  const missed = maker.op('Mul', [target, maker.op('Softplus', [maker.op('Neg', [scores])])])
  return meanOf(maker, maker.op('Add', [wrong, maker.op('Mul', [missed, maker.scalar(positive)])]), weight)
}

/** T^2 times the mean of KL(softmax(teacher / T) || softmax(scores / T)): the target is the teacher's scores. */
export function distillation(
  maker: GraphMaker,
  { scores, target, weight }: LossInputs,
  { temperature = 1 }: Spec<'distillation'>,
): string {
  const warmth = maker.scalar(1 / temperature)
  const [student, teacher] = [scores, target].map((name) =>
    maker.op('LogSoftmax', [maker.op('Mul', [name, warmth])], { axis: -1 }),
  ) as [string, string]
  const apart = maker.op('Mul', [maker.op('Exp', [teacher]), maker.op('Sub', [teacher, student])])
  const mean = meanOf(maker, sumOf(maker, apart, [-1]), weight)
  return maker.op('Mul', [mean, maker.scalar(temperature ** 2)])
}
