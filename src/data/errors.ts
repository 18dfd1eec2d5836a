/** What can be wrong with files of data. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { shown } from '../onnx/index.ts'
import { TABLE_ERRORS } from './table/errors.ts'

type Details = Readonly<Record<string, unknown>>

/** `where` names the file, or the array in an archive, as it may be printed. */
export class ArrayFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-001',
    title: 'Malformed array file',
    meaning: 'A .npy or .npz file is cut off, damaged, or says things about itself that cannot be.',
    remedy: 'Write it again with numpy.save, numpy.savez or numpy.savez_compressed.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(where: string, why: string, details: Details = {}) {
    super(ArrayFileError.info, `${where} cannot be read as NumPy writes it: ${why}`, { why, details })
  }
}

export class ArrayTypeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-002',
    title: 'Array type not supported',
    meaning: 'An array has elements that no model takes: complex numbers, dates, records, long doubles.',
    remedy: 'Convert it first, for example with array.astype(numpy.float32).',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(where: string, type: string) {
    super(ArrayTypeError.info, `${where} has elements of type ${shown(type)}, which no model takes`, {
      details: { type },
    })
  }
}

/** Reading them would run whatever program the file holds. */
export class ArrayOfObjectsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-003',
    title: 'Array of Python objects',
    meaning: 'An array holds pickled Python objects. Whoever reads them runs code out of the file, so weft does not.',
    remedy: 'Give the array a plain type: numbers, booleans, or texts with array.astype(str).',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(where: string) {
    super(ArrayOfObjectsError.info, `${where} holds pickled Python objects, which are not read`)
  }
}

export class ArrayTooLargeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-004',
    title: 'Array too large',
    meaning: 'An array, or a file of arrays, has more bytes or elements than weft reads at once.',
    remedy: 'Give the data in several files.',
    exit: EXIT.noResources,
    http: 413,
  }
  constructor(where: string, what: string, size: number, most: number) {
    super(ArrayTooLargeError.info, `${where} has ${size} ${what}, and ${most} are the most`, {
      details: { size, most },
    })
  }
}

export class ArrayUnreadableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-005',
    title: 'Array file cannot be opened',
    meaning: 'A .npy or .npz file is missing, or must not be read.',
    remedy: 'Check its path and its permissions.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, cause: unknown) {
    super(ArrayUnreadableError.info, `cannot open ${shown(path)}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { path },
      cause,
    })
  }
}

/** A text that ends in zero characters, or a name that no archive can hold. */
export class ArrayUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DAT-006',
    title: 'Array cannot be written',
    meaning:
      "NumPy's formats have no form for what is to be written: texts that end in zero characters, longest names.",
    remedy: 'Leave that output out.',
    exit: EXIT.unexpected,
    http: 500,
  }
  constructor(name: string, why: string) {
    super(ArrayUnwritableError.info, `the array ${shown(name)} cannot be written: ${why}`, { why })
  }
}

export const DATA_ERRORS: readonly ErrorInfo[] = [
  ArrayFileError.info,
  ArrayTypeError.info,
  ArrayOfObjectsError.info,
  ArrayTooLargeError.info,
  ArrayUnreadableError.info,
  ArrayUnwritableError.info,
  ...TABLE_ERRORS,
]
