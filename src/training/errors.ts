/** What can go wrong with plans, runs and their checkpoints. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { shown } from '../onnx/index.ts'

export class PlanUnreadableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-120',
    title: 'Training plan cannot be read',
    meaning: 'The plan of a training run is missing, must not be read, or is no JSON.',
    remedy: 'docs/training.md has a plan for each task.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, why: string, cause?: unknown) {
    super(PlanUnreadableError.info, `cannot read the plan ${shown(path)}`, { why, details: { path }, cause })
  }
}

export class PlanFieldError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-121',
    title: 'Training plan malformed',
    meaning: 'A field of a plan is unknown, missing, of the wrong form, or does not go with the others.',
    remedy: 'docs/training.md describes the fields, and has a plan for each task.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(
    path: string,
    field: string,
    why: string,
    { near, known = [] }: { readonly near?: string | undefined; readonly known?: readonly string[] } = {},
  ) {
    const hint = near === undefined ? listed(known) : `did you mean ${shown(near)}?`
    super(PlanFieldError.info, `${shown(path)}, ${field === '' ? 'the whole' : shown(field)}: ${why}`, {
      details: { path, field, near: near ?? null },
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

function listed(known: readonly string[]): string | undefined {
  return known.length === 0 ? undefined : `one of ${known.slice(0, 16).join(', ')}`
}

export class LabelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-122',
    title: 'Label out of range',
    meaning: 'A label is no whole number from 0 to the number of classes less one.',
    remedy: 'Mend the labels, or "classes" of the plan.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(where: string, row: number, label: number, classes: number) {
    super(LabelError.info, `row ${row} of ${where} has the label ${label}, and there are ${classes} classes`, {
      details: { row, label, classes },
    })
  }
}

export class LossNotFiniteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-123',
    title: 'Loss is not finite',
    meaning: 'The loss of a training step is NaN or infinite. The run ended there, and nothing of that step is kept.',
    remedy: 'Use a smaller learning rate, a warm-up, or "clip_norm". weft train --resume goes on from the checkpoint.',
    exit: EXIT.integrity,
    http: 422,
  }
  constructor(facts: {
    readonly step: number
    readonly epoch: number
    readonly loss: number
    readonly layer: string
    readonly checkpoint: string | null
  }) {
    const last =
      facts.checkpoint === null ? 'there is no checkpoint yet' : `the last good checkpoint is ${facts.checkpoint}`
    super(LossNotFiniteError.info, `the loss is ${facts.loss} in step ${facts.step} of epoch ${facts.epoch}`, {
      why: `the first value that is not finite is made by ${facts.layer}; ${last}`,
      details: { ...facts, loss: String(facts.loss) },
    })
  }
}

export class CheckpointError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-124',
    title: 'Checkpoint of another run',
    meaning:
      'The checkpoint in the folder belongs to another model, another plan or another seed, or is no checkpoint.',
    remedy: 'Resume with the plan that the run was started with, or start a new run in another folder.',
    exit: EXIT.integrity,
    http: 409,
  }
  constructor(path: string, why: string) {
    super(CheckpointError.info, `cannot go on from ${shown(path)}`, { why, details: { path } })
  }
}

export class RunFolderError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-125',
    title: 'Folder of a run',
    meaning:
      'The folder holds a run already, holds something else, or holds a run that another process works on or that has not ended.',
    remedy: 'Give --resume to go on with the run, or another folder with --out.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(path: string, why: string, hint?: string) {
    super(RunFolderError.info, `${shown(path)} ${why}`, { details: { path }, ...(hint === undefined ? {} : { hint }) })
  }
}

export class RunNotFoundError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-129',
    title: 'No such run',
    meaning: 'A run is to be gone on with or evaluated, and there is none at the path.',
    remedy: 'Name the folder that was given to weft train with --out.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, why: string, hint: string) {
    super(RunNotFoundError.info, `${shown(path)} ${why}`, { details: { path }, hint })
  }
}

export class TrainingMemoryError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-126',
    title: 'Memory budget too small for training',
    meaning:
      'Half of the memory of a plan is for rows. Parameters, gradients, the state of the optimizer and the activations of a batch do not fit into the rest, even when all that can be is computed again.',
    remedy: 'Raise "memory", train a smaller model, take a smaller batch, or an optimizer with less state (sgd).',
    exit: EXIT.noResources,
    http: 507,
  }
  constructor(needed: number, budget: number) {
    super(TrainingMemoryError.info, `the run needs ${needed} bytes at least, and its budget is ${budget}`, {
      details: { needed, budget },
    })
  }
}

export class TrainedModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-127',
    title: 'Model and data do not fit',
    meaning: 'The model takes or gives something else than the data and the loss of the plan need.',
    remedy: 'Check the input, the output and the number of classes that the plan names.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(TrainedModelError.info, `the model does not fit the plan: ${why}`, { why, details })
  }
}

export class GradientTaskError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-130',
    title: 'Gradients that no peer can compute',
    meaning:
      'What a peer was told of a run is no model and loss of which it can make the graph by itself, or is larger than was said.',
    remedy:
      'Train this plan in one process, or give it a model of the zoo; docs/training.md says which plans peers share.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string) {
    super(GradientTaskError.info, 'no peer can compute gradients of this plan', { why, details: {} })
  }
}

export class GradientBatchError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-131',
    title: 'Batch does not fit the graph',
    meaning:
      'Parameters or examples that a peer was sent are not of the names, types and shapes of the graph that it made.',
    remedy: 'Update both peers to the same version of weft, and begin the run again.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(why: string) {
    super(GradientBatchError.info, 'what came in does not fit the graph', { why, details: {} })
  }
}

export const LOOP_ERRORS: readonly ErrorInfo[] = [
  PlanUnreadableError.info,
  PlanFieldError.info,
  LabelError.info,
  LossNotFiniteError.info,
  CheckpointError.info,
  RunFolderError.info,
  RunNotFoundError.info,
  TrainingMemoryError.info,
  TrainedModelError.info,
  GradientTaskError.info,
  GradientBatchError.info,
]
