/** What is asked of the differentiation, and what comes of it. */
import type { InferenceOptions, Model } from '../../onnx/index.ts'

/**
 * `inputs`, where the graph is made for these shapes alone: what they decide is written out. `elements`: of small inputs
 * that are the same in all runs, such as a flag that chooses a branch of an If. `read`: of constants that lie in files.
 */
export interface DifferentiationRequest extends InferenceOptions {
  /** A float scalar of the graph: an output, or a value in between. */
  readonly loss: string
  /**
   * Float initializers or float inputs of the graph; all float initializers where it is left out. Names on which the
   * loss does not depend get zeros.
   */
  readonly wrt?: readonly string[]
  /** Float values that nodes make, whose gradients are wanted too: for what is built on the graph, which knows their types. */
  readonly between?: readonly string[]
  /** Where activations may not take all the memory that they want: some are computed again in the backward pass. */
  readonly checkpoint?: Checkpointing
}

export interface Checkpointing {
  /** The most that kept activations may take: an estimate from the shapes, without weights and gradients. */
  readonly bytes: number
  /** What named dimensions are counted as; 1 where they are left out. */
  readonly sizes?: ReadonlyMap<string, number>
}

export interface DifferentiatedModel {
  readonly model: Model
  /** By wanted name: the output of the graph that carries its gradient, of its shape and type. */
  readonly gradients: ReadonlyMap<string, string>
  /** Nodes of the forward pass that run a second time. */
  readonly recomputed: number
}
