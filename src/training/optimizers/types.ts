/** Optimizers as plans name them. */

interface Decay {
  /** @default 0 */
  readonly weight_decay?: number | undefined
  /**
   * Parameters that do not decay, by parts of their names; beside them, all with fewer than two axes: biases and the
   * scales of normalisations.
   */
  readonly no_decay?: readonly string[] | undefined
}

export type ScheduleSpec =
  | { readonly kind: 'constant'; readonly warmup?: number | undefined }
  /** Down to `final` of the rate along half a cosine, after a linear rise over `warmup` steps (arXiv 1608.03983). */
  | { readonly kind: 'cosine'; readonly warmup?: number | undefined; readonly final?: number | undefined }
  /** Down to `final` of the rate in a straight line. */
  | { readonly kind: 'linear'; readonly warmup?: number | undefined; readonly final?: number | undefined }
  /** Times `factor` after every `every` epochs. */
  | {
      readonly kind: 'step'
      readonly warmup?: number | undefined
      readonly every: number
      readonly factor: number
    }

interface Common extends Decay {
  readonly lr: number
  readonly schedule?: ScheduleSpec | undefined
  /** Gradients longer than this, all together, are made this long (Pascanu et al., arXiv 1211.5063). */
  readonly clip_norm?: number | undefined
}

export type OptimizerSpec = Common &
  (
    | {
        readonly kind: 'sgd'
        readonly momentum?: number | undefined
        /** Nesterov's form (Sutskever et al. 2013). */
        readonly nesterov?: boolean | undefined
      }
    /** Kingma and Ba, arXiv 1412.6980; `adamw` decays weights apart from the gradient (arXiv 1711.05101). */
    | {
        readonly kind: 'adam' | 'adamw'
        readonly betas?: readonly [number, number] | undefined
        readonly epsilon?: number | undefined
      }
    /** Duchi et al. 2011. */
    | { readonly kind: 'adagrad'; readonly epsilon?: number | undefined }
    /** Chen et al., arXiv 2302.06675. */
    | { readonly kind: 'lion'; readonly betas?: readonly [number, number] | undefined }
  )
