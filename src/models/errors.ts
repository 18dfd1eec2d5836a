/** What can go wrong with model files, sources and manifests; one class a cause. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorFacts, ErrorInfo } from '../errors.ts'

type Details = Readonly<Record<string, unknown>>

export class TensorBytesError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-001',
    title: 'Tensor does not have its bytes',
    meaning: 'The bytes of a tensor do not fit its type and shape.',
    remedy: 'Import the model again; the file or the manifest is damaged.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(message: string, details: Details = {}) {
    super(TensorBytesError.info, message, { details })
  }
}

export class ModelFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-002',
    title: 'Malformed model file',
    meaning: 'A model file is truncated, damaged, or says things about itself that cannot be.',
    remedy: 'Fetch the file again and compare its SHA-256 with the one that its author publishes.',
    exit: EXIT.integrity,
    http: 400,
  }
  /** `where`: the field of the file; `why`: what is wrong with it. */
  constructor(where: string, why: string, details: Details = {}) {
    super(ModelFileError.info, `malformed model file: ${where}: ${why}`, { why, details: { where, ...details } })
  }
}

export class UnsupportedModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-003',
    title: 'Model not supported',
    meaning: 'The file is sound, but of a format, architecture or storage type that weft does not run.',
    remedy:
      'Take another file of the model: GGUF in F32, F16, BF16, Q8_0, Q4_0 to Q5_1 or Q2_K to Q6_K, or a folder of safetensors. docs/models.md lists the architectures.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(UnsupportedModelError.info, message, facts)
  }
}

export class SourceFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-004',
    title: 'Model file not readable',
    meaning: 'The file that was named is not there, is no regular file, or may not be read.',
    remedy: 'Check the path and the rights of the file.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, why: string, cause?: unknown) {
    super(SourceFileError.info, `cannot read ${path}: ${why}`, { why, details: { path }, cause })
  }
}

export class TokenizerDataError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-005',
    title: 'Tokenizer incomplete or malformed',
    meaning: 'The tokenizer that comes with the model lacks pieces or contradicts itself.',
    remedy: 'Take another file of the model; for llama2.c files name the tokenizer that belongs to it.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(TokenizerDataError.info, message, facts)
  }
}

export class ManifestError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-006',
    title: 'Manifest refused',
    meaning: 'A manifest, from disk or from a peer, contradicts itself or claims what cannot be.',
    remedy: 'Import the model again, or take its manifest from another peer.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(why: string, cause?: unknown) {
    super(ManifestError.info, `the manifest is refused: ${why}`, { why, cause })
  }
}

export class ModelNameError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-007',
    title: 'Not a model name',
    meaning: 'A model name has lower-case letters, digits, dots, dashes and underscores, and one colon at most.',
    remedy: 'Use a name like smollm2:135m.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(name: string) {
    super(ModelNameError.info, `${JSON.stringify(name.slice(0, 80))} is not a model name`)
  }
}

export class ModelExistsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-008',
    title: 'Name taken by another model',
    meaning: 'A different model with this name is in the mesh home.',
    remedy: 'Give another name with --name, or remove the old model first: weft rm MODEL.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(model: string, existing: string, digest: string) {
    super(ModelExistsError.info, `${model} is here already, and it is another model`, {
      why: `it has digest ${existing.slice(0, 12)}, the new one ${digest.slice(0, 12)}`,
      details: { model, existing, digest },
    })
  }
}

export class SourceSyntaxError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-009',
    title: 'Source not understood',
    meaning: 'The source of a model is written in a way that weft does not know.',
    remedy:
      'Name a file, a URL, hf:owner/name[:file], npm:name[@version]:path, pypi:name[==version]:path, ollama:name[:tag] or a model of the catalogue.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(source: string, why: string) {
    super(SourceSyntaxError.info, `cannot read the source ${JSON.stringify(source.slice(0, 200))}: ${why}`, { why })
  }
}

export class FetchError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-010',
    title: 'Model could not be fetched',
    meaning: 'None of the places that were tried gave the model.',
    remedy: 'Check the network, or import a file that you have: weft import FILE --name MODEL.',
    exit: EXIT.unreachable,
    http: 502,
    retryable: true,
  }
  /** Asking again cannot help: the place has answered, and the answer is no. */
  readonly final: boolean

  constructor(
    source: string,
    why: string,
    facts: { readonly cause?: unknown; readonly hint?: string | undefined; readonly final?: boolean } = {},
  ) {
    const { cause, hint, final = false } = facts
    const more = { ...(cause === undefined ? {} : { cause }), ...(hint === undefined ? {} : { hint }) }
    super(FetchError.info, `cannot fetch ${source}: ${why}`, { why, details: { source }, ...more })
    this.final = final
  }
}

export class ChecksumError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-011',
    title: 'File is not the one that was announced',
    meaning:
      'The SHA-256 or the size of a file is not that of the catalogue, the hub or its manifest. What was fetched was removed.',
    remedy: 'Try again or take another source; somebody on the way changed the file.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }
  constructor(source: string, expected: string, got: string) {
    super(ChecksumError.info, `${source} is not the file that was announced`, {
      why: `expected ${expected}, got ${got}`,
      details: { source, expected, got },
    })
  }
}

export class UnknownModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-012',
    title: 'Model unknown',
    meaning: 'There is no file of this name, and the catalogue does not know it as a model.',
    remedy: 'weft ls shows the models that are here or can be fetched.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(source: string, known: readonly string[]) {
    super(UnknownModelError.info, `there is no model or file ${JSON.stringify(source.slice(0, 200))}`, {
      ...(known.length === 0 ? {} : { why: `the catalogue has ${known.join(', ')}` }),
      details: { source: source.slice(0, 200) },
    })
  }
}

export class CatalogueError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-013',
    title: 'Catalogue entry malformed',
    meaning: 'A file of the catalogue is not what a catalogue entry has to be.',
    remedy: 'Correct or remove the file; the entries of partitions/catalogue show how they look.',
    exit: EXIT.usage,
    http: 500,
  }
  constructor(path: string, why: string) {
    super(CatalogueError.info, `the catalogue entry ${path} is malformed: ${why}`, { why, details: { path } })
  }
}

/** The child process that worked for an import, as it ended. */
interface ChildEnd {
  readonly pid: number
  readonly code: number | null
  readonly signal: string | null
  readonly last: string
}

export class ImportMemoryError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-014',
    title: 'Import took too much memory',
    meaning:
      'Model files are opened in a process of their own, which may hold a limited amount of memory. It went beyond, and was ended; nothing of the model was kept.',
    remedy: 'A file that asks for so much is most likely not sound: take it from its author, or take another one.',
    exit: EXIT.noResources,
    http: 400,
  }
  /** `what`: what it was doing; `limit` in bytes. */
  constructor(what: string, limit: number, { pid }: ChildEnd) {
    super(ImportMemoryError.info, `${what} took more memory than the ${Math.round(limit / 2 ** 20)} MiB that it may`, {
      details: { limit, pid },
    })
  }
}

export class ImportSilentError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-015',
    title: 'Import stood still',
    meaning:
      'The process that worked for an import made no progress for so long that it was taken for wedged, and was ended; nothing of the model was kept.',
    remedy: 'Try again; if it stands still again, the disk does not answer, or the file is not sound.',
    exit: EXIT.timedOut,
    http: 504,
    retryable: true,
  }
  /** `silence` in milliseconds. */
  constructor(what: string, silence: number, { pid }: ChildEnd) {
    super(ImportSilentError.info, `${what} made no progress for ${silence / 1000} s`, { details: { silence, pid } })
  }
}

export class ImportProcessError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-016',
    title: 'Import process ended',
    meaning:
      'The process that worked for an import ended before its work was done: killed by a person or, short of memory, by the system, or crashed. Nothing of the model was kept.',
    remedy: 'Try again; if it ends again, look whether the machine is short of memory, and whether the file is sound.',
    exit: EXIT.unexpected,
    http: 503,
    retryable: true,
  }
  constructor(what: string, { pid, code, signal, last }: ChildEnd) {
    const how = signal === null ? `with status ${code ?? 'unknown'}` : `by ${signal}`
    super(ImportProcessError.info, `${what} was cut off: its process ${pid} ended ${how}`, {
      ...(last === '' ? {} : { why: last }),
      details: { pid, code, signal },
    })
  }
}

export const MODELS_ERRORS: readonly ErrorInfo[] = [
  TensorBytesError.info,
  ModelFileError.info,
  UnsupportedModelError.info,
  SourceFileError.info,
  TokenizerDataError.info,
  ManifestError.info,
  ModelNameError.info,
  ModelExistsError.info,
  SourceSyntaxError.info,
  FetchError.info,
  ChecksumError.info,
  UnknownModelError.info,
  CatalogueError.info,
  ImportMemoryError.info,
  ImportSilentError.info,
  ImportProcessError.info,
]
