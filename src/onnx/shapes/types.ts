/** What is known of the values of a graph before it runs. */
import type { Dimension, Node, TensorValue, ValueType } from '../ir/index.ts'

/**
 * A small tensor that is known before the graph runs: an element is a number (booleans 0 and 1), an expression in named
 * dimensions (always a whole number, at least where it stands for a size not negative), or null where it is not known.
 */
export interface KnownTensor {
  readonly dims: readonly number[]
  /** Row-major, as many as `dims` say. */
  readonly elements: readonly Dimension[]
}

/** One list of nodes with what is known of its values: the graph itself, a subgraph, or the body of a function. */
export interface InferredScope {
  readonly nodes: readonly Node[]
  readonly initializers: ReadonlyMap<string, TensorValue>
  /**
   * Of the values that this scope makes, takes or holds: what is known of them. Missing: nothing. A dimension that is a string is a name
   * of the model's inputs (`batch`), an unknown of the inference (`?3`, the same number wherever it is the same size),
   * or an expression in these (`height/2` rounds down, `batch*8`); equal expressions have equal texts.
   */
  readonly types: ReadonlyMap<string, ValueType>
  /** By index of node: the scopes of its subgraphs in their order, or of the body of the function that it calls. */
  readonly inner: ReadonlyMap<number, readonly InnerScope[]>
}

export interface InnerScope extends InferredScope {
  /** How often it runs for one run of its node, as far as that is known: a Loop's trip count, a Scan's length. */
  readonly times: Dimension
}

export interface InferredGraph extends InferredScope {
  /** Values that come of constants alone (initializers that no caller can override, Constant nodes): weights. */
  readonly constantOnly: ReadonlySet<string>
  /**
   * Values that come of constants and of the shapes of values (Shape, Size) alone: they can be computed again wherever
   * these shapes are known. Contains `constantOnly`. Nothing random is in it. Size does not count: ask `valueBytes`.
   */
  readonly shapeOnly: ReadonlySet<string>
  /** Small tensors that are known, wholly or in part. */
  readonly known: ReadonlyMap<string, KnownTensor>
  /** Values whose type rests on a declaration in the file (value_info, a graph output) that nothing confirms. */
  readonly assumed: ReadonlySet<string>
}

export interface InferenceOptions {
  /** Shapes of graph inputs by name, in place of the declared ones: for costs at a given batch and size. */
  readonly inputs?: ReadonlyMap<string, readonly number[]>
  /**
   * Elements of small graph inputs that are the same in all runs that are meant (booleans 0 and 1), such as a sampling
   * rate that chooses a branch. With more elements than one, the shape must be known too.
   */
  readonly elements?: ReadonlyMap<string, readonly number[]>
  /**
   * The bytes of a small constant, for tensors that lie in a file; without it, or where it returns undefined, the
   * values of such tensors are not known (their shapes are).
   */
  readonly read?: ReadConstant
}

export type ReadConstant = (tensor: TensorValue) => Uint8Array | undefined
