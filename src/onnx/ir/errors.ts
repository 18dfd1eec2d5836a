/** What can be wrong with an ONNX file or with a graph; one class a cause. Names in messages are harmless to print. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { shown, shownList } from './shown.ts'

const BAD_FILE = { exit: EXIT.integrity, http: 400 } as const

export class OnnxUnreadableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-060',
    title: 'ONNX file not readable',
    meaning: 'The model file that was named is not there, is no regular file, or may not be read.',
    remedy: 'Check the path and the rights of the file.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, why: string, cause?: unknown) {
    super(OnnxUnreadableError.info, `cannot read ${path}: ${why}`, { why, details: { path }, cause })
  }
}

export class NotOnnxError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-061',
    title: 'Not an ONNX file',
    meaning: 'The file is something else than an ONNX model.',
    remedy: 'Name an .onnx file; if it was downloaded, look whether the server answered with an error page.',
  }
  /** `what`: what the file looks like. */
  constructor(path: string, what: string) {
    super(NotOnnxError.info, `${path} is no ONNX model: it looks like ${what}`, { details: { path, what } })
  }
}

/** `where` names the messages around the place, outermost first. */
export class OnnxMalformedError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-062',
    title: 'Malformed ONNX file',
    meaning: 'The file is truncated or damaged, or says things about itself that cannot be.',
    remedy: 'Fetch or export the file again, and compare its SHA-256 with the one that its author publishes.',
  }
  constructor(path: string, where: string, why: string, offset?: number) {
    const at = offset === undefined ? where : `${where}, byte ${offset}`
    super(OnnxMalformedError.info, `malformed ONNX file: ${at}: ${why}`, {
      why,
      details: { path, where, ...(offset === undefined ? {} : { offset }) },
    })
  }
}

export class OnnxLimitError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-063',
    title: 'ONNX model beyond a limit',
    meaning: 'The model has more of something than weft takes from a file that it does not know.',
    remedy: 'If you trust the file, simplify it with the tools of its exporter.',
    exit: EXIT.noResources,
    http: 413,
  }
  constructor(path: string, what: string, limit: number) {
    super(OnnxLimitError.info, `the model has more than ${limit} ${what}`, { details: { path, what, limit } })
  }
}

export class OnnxUnsupportedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-064',
    title: 'ONNX version or type not supported',
    meaning: 'The model is sound, but of a version or with a type that the engine does not know.',
    remedy: 'Export the model for IR versions 3 to 13 and opsets 7 to 26.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(OnnxUnsupportedError.info, `the model is not supported: ${why}`, { why, details })
  }
}

export class ExternalDataOutsideError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-065',
    title: "External data outside of the model's folder",
    meaning: 'A tensor says that its bytes lie in a file that is not in the folder of the model; it was not read.',
    remedy: 'Do not trust this model. If it is yours, put its data files beside it.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(path: string, tensor: string, location: string, why: string) {
    super(
      ExternalDataOutsideError.info,
      `tensor ${shown(tensor)} has its data in ${shown(location)}, outside of the folder of the model: ${why}`,
      { why, details: { path, tensor, location } },
    )
  }
}

export class ExternalDataError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-066',
    title: 'External data missing or too short',
    meaning: 'The file with the data of a tensor is not there, is no regular file, or is shorter than the model says.',
    remedy: 'Fetch all files of the model, into one folder.',
  }
  constructor(path: string, tensor: string, location: string, why: string, cause?: unknown) {
    super(ExternalDataError.info, `tensor ${shown(tensor)} has its data in ${shown(location)}: ${why}`, {
      why,
      details: { path, tensor, location },
      cause,
    })
  }
}

export class TensorSizeError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-067',
    title: 'Tensor does not have the bytes of its shape',
    meaning: 'The dimensions of a tensor are negative or too large, or do not belong to the bytes that it has.',
    remedy: 'Fetch or export the model again: the file is damaged.',
  }
  constructor(tensor: string, why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(TensorSizeError.info, `tensor ${shown(tensor)}: ${why}`, { why, details: { tensor, ...details } })
  }
}

export class TensorReadError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-068',
    title: 'Tensor cannot be read',
    meaning: 'The bytes of a tensor were asked for, and they are too many, or their file has changed or gone.',
    remedy: 'Read the model again after its files have changed.',
  }
  /** `what`: the tensor or the file. */
  constructor(what: string, why: string, cause?: unknown) {
    super(TensorReadError.info, `cannot read the bytes of ${what}: ${why}`, { why, details: { what }, cause })
  }
}

export class CyclicGraphError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-070',
    title: 'Graph with a cycle',
    meaning: 'Nodes of the graph wait for one another, so that none can run.',
    remedy: 'Export the model again; what repeats belongs into a Loop or Scan node.',
  }
  /** `values`: each is computed from the one before it, the first from the last. */
  constructor(graph: string, values: readonly string[]) {
    super(CyclicGraphError.info, `graph ${shown(graph)} has a cycle: ${shownList([...values, values[0]!], 12)}`, {
      details: { graph, values: values.slice(0, 100) },
    })
  }
}

export class DanglingValueError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-071',
    title: 'Value that nobody makes',
    meaning: 'A node or an output of the graph wants a value that no node, input or initializer gives.',
    remedy: 'Export the model again; a tool may have removed a node that is still needed.',
  }
  constructor(graph: string, value: string, reader: string) {
    super(DanglingValueError.info, `in graph ${shown(graph)}, ${reader} reads ${shown(value)}, which nobody makes`, {
      details: { graph, value, reader },
    })
  }
}

export class DuplicateDefinitionError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-072',
    title: 'Defined twice',
    meaning: 'Two things of the model have one name where each must have its own.',
    remedy: 'Export the model again; a tool may have merged two graphs without renaming.',
  }
  constructor(where: string, what: string, name: string) {
    super(DuplicateDefinitionError.info, `${where}: the ${what} ${shown(name)} is defined twice`, {
      details: { where, what, name },
    })
  }
}

export class MissingOpsetError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-073',
    title: 'Operator set not imported',
    meaning: 'A node is of a domain whose version the model does not say.',
    remedy: 'Add the domain to opset_import of the model or function.',
  }
  constructor(where: string, domain: string, opType: string) {
    const named = domain === '' ? 'of ONNX' : shown(domain)
    super(MissingOpsetError.info, `${where} has a node ${shown(opType)} but imports no operator set ${named}`, {
      details: { where, domain, opType },
    })
  }
}

export class FunctionError extends WeftError {
  static readonly info: ErrorInfo = {
    ...BAD_FILE,
    code: 'WEFT-INF-074',
    title: 'Function of the model not usable',
    meaning: 'A function of the model calls itself, or is called in a way that it does not provide for.',
    remedy: 'Export the model again, with its functions inlined.',
  }
  constructor(name: string, why: string) {
    super(FunctionError.info, `function ${shown(name)}: ${why}`, { why, details: { name } })
  }
}

export class OnnxUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-075',
    title: 'Model cannot be written as ONNX',
    meaning: 'The model is larger than an ONNX file can be, or has a name that the format cannot hold.',
    remedy: 'Write its weights to an external file, or make constants of nodes initializers.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(path: string, why: string) {
    super(OnnxUnwritableError.info, `cannot write ${path}: ${why}`, { why, details: { path } })
  }
}

export const IR_ERRORS: readonly ErrorInfo[] = [
  OnnxUnreadableError.info,
  NotOnnxError.info,
  OnnxMalformedError.info,
  OnnxLimitError.info,
  OnnxUnsupportedError.info,
  ExternalDataOutsideError.info,
  ExternalDataError.info,
  TensorSizeError.info,
  TensorReadError.info,
  CyclicGraphError.info,
  DanglingValueError.info,
  DuplicateDefinitionError.info,
  MissingOpsetError.info,
  FunctionError.info,
  OnnxUnwritableError.info,
]
