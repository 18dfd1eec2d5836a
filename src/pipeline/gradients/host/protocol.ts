/** What a peer and its gradient host say to each other: messages of tensors; an answer has the question's request number. */

export const GRADIENT_HOST = {
  /** `task`. Control: LoadGradients. Answer: kernel. */
  load: 1,
  /** Parameters. */
  begin: 3,
  /** Examples; control: weight. Answer: `loss`. */
  batch: 5,
  /** Control: whole. Answer: gradients. */
  tell: 7,
} as const

export interface LoadGradients {
  /** For graphs on their way into the engine. */
  readonly folder: string
  readonly threads: number
  /** Numbers that the origin said the model has. */
  readonly parameters: number
  /** @default float32 */
  readonly gradients?: 'int8' | undefined
}

/** One message: all parameters of a model, or the examples of a batch. */
export const MAX_GRADIENT_BYTES = 2 ** 31
