/**
 * Shares of training steps at peers (docs/wire.md): an origin opens a session at each peer with a description of its graph, and
 * begins each step with the parameters. Batches of examples go in one after the other; the peer says each one's loss, and
 * the sum of their gradients when it is asked to tell it.
 */
import * as z from 'zod'
import { decoder } from '../adapters/protocol.ts'

export const GRADIENT_PROTOCOL = '/weft/gradient/1'

export const GRADIENT = {
  /** Origin to peer: `task`; control: its digest, numbers of parameters, threads, whether gradients are to be rounded. */
  open: 97,
  /** Back: the graph is made. Control: pid, kernel, threads. */
  opened: 98,
  /** A step begins: its parameters. */
  begin: 99,
  /** Examples of one batch. Control: weight. */
  batch: 100,
  /** Back: `loss`. */
  computed: 101,
  /** Control: whole. */
  tell: 102,
  /** Back: the sum of the gradients of the batches since the last one was told. */
  gradients: 103,
  close: 104,
  /** Peer to origin; control: ErrorData. The session has ended there. */
  error: 105,
} as const

/** Names of tensors that are no parameters and no examples. */
export const TASK = 'task'
export const LOSS = 'loss'

/** Of a model that a stage host could hold the gradients of. */
const MAX_PARAMETERS = 2 ** 33
const MAX_THREADS = 1024

const openSchema = z.object({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  parameters: z.number().int().min(1).max(MAX_PARAMETERS),
  threads: z.number().int().min(1).max(MAX_THREADS),
  gradients: z.literal('int8').optional(),
})
export type GradientOpen = z.infer<typeof openSchema>

const openedSchema = z.object({
  pid: z.number().int(),
  kernel: z.string().max(400),
  threads: z.number().int().min(1).max(MAX_THREADS),
})
export type GradientOpened = z.infer<typeof openedSchema>

const batchSchema = z.object({ weight: z.number().min(0).max(1) })
const tellSchema = z.object({ whole: z.boolean() })

/** All @throws TrainingRefusedError */
export const decodeGradientOpen = decoder(openSchema)
export const decodeGradientOpened = decoder(openedSchema)
export const decodeGradientBatch = decoder(batchSchema)
export const decodeGradientTell = decoder(tellSchema)
