/** Of a graph, the one that takes a gradient back: from that of its output to those of its inputs. */
import type { Dimension, Model } from '../../onnx/index.ts'
import { differentiate } from '../autodiff/differentiate.ts'
import { GraphMaker } from './graph-maker.ts'
import { pruned } from './prune.ts'
import { sumOf } from './reductions.ts'

/** The input that carries the gradient of the output. */
export const UPSTREAM = 'upstream'
const PRODUCT = 'pullback'

export interface Pullback {
  readonly model: Model
  /** By input: the output that carries its gradient. */
  readonly gradients: ReadonlyMap<string, string>
}

/** All inputs of the model and `upstream` in, the gradients of `wrt` out; the forward pass is computed again. */
export function pullback(model: Model, output: string, shape: readonly Dimension[], wrt: readonly string[]): Pullback {
  const maker = new GraphMaker(model, PRODUCT)
  maker.input(UPSTREAM, 'float32', shape)
  maker.output(PRODUCT, 'float32', [], sumOf(maker, maker.op('Mul', [output, UPSTREAM])))
  const { model: both, gradients } = differentiate(maker.model(), { loss: PRODUCT, wrt })
  const back = new GraphMaker(both)
  back.dropOutputs(new Set([output, PRODUCT]))
  return { model: pruned(back.model()), gradients }
}
