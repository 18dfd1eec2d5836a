/** What a peer and its training host say to each other: messages of tensors; an answer has the question's request number. */
import type { AdapterForm } from '../../../models/index.ts'

export const TRAIN_HOST = {
  /** Control: LoadTraining. */
  load: 1,
  /** Control: OpenTraining. */
  open: 3,
  /** A step begins: adapters of the session's blocks. Control: session. */
  begin: 5,
  /** `rows`; control: session, micro, keep. Answer: `rows`. */
  forward: 7,
  /** `gradient`; control: session, micro. Answer: `gradient`. */
  backward: 9,
  /** `rows` and `targets`; control: session, micro, weight, wanted. Answer: control loss, and `gradient` where it was wanted. */
  loss: 11,
  /** Control: session, whole. Answer: gradients of the step. */
  gradients: 13,
  close: 15,
} as const

export interface LoadTraining {
  /** File of the manifest. */
  readonly manifestPath: string
  readonly storeDirectory: string
  /** For graphs on their way into the engine. */
  readonly folder: string
  readonly threads: number
}

export interface OpenTraining {
  readonly session: number
  readonly from: number
  readonly to: number
  readonly length: number
  readonly form: AdapterForm
  /** @default float32 */
  readonly gradients?: 'int8' | undefined
}

/** Names of tensors in messages. */
export const TENSOR = { rows: 'rows', gradient: 'gradient', targets: 'targets' } as const

/** One message: rows of a micro-batch, or the adapters of a stage. */
export const MAX_TRAIN_BYTES = 2 ** 30
