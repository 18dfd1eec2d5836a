/** Losses as nodes of a graph. */

/** What a loss is made of: names of values in the graph. */
export interface LossInputs {
  /** What the model says: float32, its shape as the loss needs it. */
  readonly scores: string
  /** What is right. */
  readonly target: string
  /** A weight for each example, float32 [batch]; 0 leaves it out. */
  readonly weight?: string | undefined
}

export type LossSpec =
  /** Scores [batch, classes] or [batch, length, classes]; target int64 of the same shape without the classes. */
  | {
      readonly kind: 'cross-entropy'
      /** Share of the target that is spread over all classes (Szegedy et al., arXiv 1512.00567). */
      readonly label_smoothing?: number | undefined
      /** One weight a class. */
      readonly class_weights?: readonly number[] | undefined
      /** This label counts as nothing. */
      readonly ignore?: number | undefined
    }
  /** Scores are logits, one a target; `positive_weight` multiplies the part of targets that are 1. */
  | { readonly kind: 'binary-cross-entropy'; readonly positive_weight?: number | undefined }
  | { readonly kind: 'mse' }
  /** Squared up to `delta`, straight beyond it (Huber 1964). */
  | { readonly kind: 'huber'; readonly delta?: number | undefined }
  /**
   * Negative log partial likelihood. Ties: each row at risk with those before it (`order`), or all of one time together
   * (`breslow`).
   */
  | { readonly kind: 'cox'; readonly ties?: 'order' | 'breslow' | undefined }
  /** KL divergence from a teacher's scores, at a temperature (Hinton et al., arXiv 1503.02531). */
  | {
      readonly kind: 'distillation'
      /** @default 1 */
      readonly temperature?: number | undefined
      /** Of the loss; the rest is what the labels say. @default 1 */
      readonly share?: number | undefined
    }
  /** -ln sigmoid(wanted - other) (Rendle et al., arXiv 1205.2618). */
  | { readonly kind: 'bpr' }

export type LossKind = LossSpec['kind']
