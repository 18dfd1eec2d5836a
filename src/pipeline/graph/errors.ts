/** What keeps a graph from giving an answer. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { shown } from '../../onnx/index.ts'

type Details = Readonly<Record<string, unknown>>

/** Inputs that are missing, unknown, or of another type or shape; `wants` lists what the model takes. */
export class GraphInputError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-100',
    title: 'Inputs do not fit the model',
    meaning: 'An input is missing, is not one of the model, or has another type or shape than the model takes.',
    remedy: 'Give each input under its name, with its type and shape; a named dimension is free.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, wants: string, details: Details = {}) {
    super(GraphInputError.info, `${why}; the model takes ${wants}`, { details: { ...details, wants } })
  }
}

export class GraphRequestError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-101',
    title: 'The model cannot be run like this',
    meaning:
      'A pair of --carry, a frame axis or a micro-batch does not fit the inputs and outputs of the model, or one of these is of a type that cannot go in or out.',
    remedy: 'docs/infer.md says how batches, frames and carried state are given, and what cannot go in or out.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, details: Details = {}) {
    super(GraphRequestError.info, why, { details })
  }
}

export class GraphOutputError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-102',
    title: 'Results do not fit together',
    meaning: 'Batches or frames gave results of different shapes, which make no array together.',
    remedy: 'Run them one by one, or the whole batch at once (--micro-batch 0).',
    exit: EXIT.unexpected,
    http: 422,
  }
  constructor(name: string, one: readonly number[], other: readonly number[]) {
    const shapes = `[${one.join(', ')}] and [${other.join(', ')}]`
    super(GraphOutputError.info, `the output ${shown(name)} has shapes that cannot be joined: ${shapes}`, {
      details: { name, one, other },
    })
  }
}

/** Named tensors in a frame that are not what they say. */
export class TensorTableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-103',
    title: 'Malformed tensors',
    meaning: 'A message of named tensors does not agree with itself: names, types, shapes and bytes.',
    remedy: 'Make the request again; if it happens twice, send weft bugreport.',
    exit: EXIT.integrity,
    http: 502,
  }
  constructor(why: string, details: Details = {}) {
    super(TensorTableError.info, `a message of tensors is malformed: ${why}`, { why, details })
  }
}

/** A process that prepares a file (reads, cuts, proves it) was ended. */
export class GraphPreparationError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-104',
    title: 'The model file could not be prepared',
    meaning: 'The process that reads and cuts a model file took too much memory, made no progress, or died.',
    remedy: 'Check the file; a large one needs a machine with more memory.',
    exit: EXIT.noResources,
    http: 503,
  }
  constructor(path: string, why: string, details: Details) {
    super(GraphPreparationError.info, `${shown(path)} could not be prepared`, { why, details })
  }
}

/** A model of many files was changed, or a graph asks for what is not there. */
export class GraphSessionError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-105',
    title: 'Graph not loaded',
    meaning: 'A graph host was asked to run before it has loaded a graph.',
    remedy: 'Make the request again; if it happens twice, send weft bugreport.',
    exit: EXIT.unexpected,
    http: 500,
  }
  constructor(why: string) {
    super(GraphSessionError.info, why)
  }
}

/** `weft split --check` has nothing to show: the parts are not put in place. */
export class GraphUncheckedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-106',
    title: 'The check could not be made',
    meaning: 'Whole and split could not be compared: the engine refuses the model, or no input can be made for it.',
    remedy: 'Split without --check, and compare on inputs of your own with weft infer.',
    exit: EXIT.integrity,
    http: 422,
  }
  constructor(path: string, why: string) {
    super(GraphUncheckedError.info, `the partitions of ${shown(path)} could not be checked: ${why}`, { why })
  }
}

/** A peer does not take a part of a graph, or values for it. */
export class FlowRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-107',
    title: 'Part of a graph refused',
    meaning: 'A peer does not take a part of a model: too many of one origin, a malformed request, values out of turn.',
    remedy: 'Wait until others of your requests have ended, or leave that peer out of the placement.',
    exit: EXIT.denied,
    http: 429,
    retryable: true,
  }
  constructor(why: string, details: Details = {}) {
    super(FlowRefusedError.info, `a peer refused a part of the graph: ${why}`, { why, details })
  }
}

export const GRAPH_ERRORS: readonly ErrorInfo[] = [
  GraphInputError.info,
  GraphRequestError.info,
  GraphOutputError.info,
  TensorTableError.info,
  GraphPreparationError.info,
  GraphSessionError.info,
  GraphUncheckedError.info,
  FlowRefusedError.info,
]
