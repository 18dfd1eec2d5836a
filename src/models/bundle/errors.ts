/** What can go wrong when a model is written as one file, and when such a file is taken. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class BundleFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-070',
    title: 'Bundle refused',
    meaning:
      'A bundle (what weft export writes) is truncated, damaged, or holds something else than its manifest names. Nothing of it was kept.',
    remedy: 'Copy the file again and compare its SHA-256 with the one that weft export printed; else export it again.',
    exit: EXIT.integrity,
    http: 400,
  }
  /** `where`: the entry of the archive, or the archive as a whole. */
  constructor(where: string, why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(BundleFileError.info, `the bundle is refused: ${where}: ${why}`, { why, details: { where, ...details } })
  }
}

export class BundleIncompleteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-071',
    title: 'Not all of the model is here to export',
    meaning: 'A bundle holds a whole model, and the store of this home lacks some of its tensors or its tokenizer.',
    remedy:
      'Run the export on a peer that holds the whole model (weft ls --wide), or weft import SOURCE into this home first.',
    exit: EXIT.notFound,
    http: 404,
  }
  /** `blocks`: those that lack a tensor, rising; `bytes`: all that is missing. */
  constructor(model: string, source: string, blocks: readonly number[], tokenizer: boolean, bytes: number) {
    const parts = [
      ...(blocks.length === 0 ? [] : [`block${blocks.length === 1 ? '' : 's'} ${ranges(blocks)}`]),
      ...(tokenizer ? ['the tokenizer'] : []),
    ]
    super(BundleIncompleteError.info, `this home has not all of ${model}: ${parts.join(' and ')} missing`, {
      why: `${bytes} bytes of it are not in the store; it came from ${source}`,
      details: { model, source, blocks, tokenizer, bytes },
    })
  }
}

/** `0, 3 to 12, 14` */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = []
  for (const number of numbers) {
    const last = runs.at(-1)
    if (last !== undefined && last[1] + 1 === number) last[1] = number
    else runs.push([number, number])
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(', ')
}

export class BundleTargetError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-072',
    title: 'File not free for a bundle',
    meaning: 'The file that weft export should write is there already, or its name is that of something else.',
    remedy: 'Name another file with -o, or replace this one with --force.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(path: string, why: string, hint?: string) {
    super(BundleTargetError.info, `no bundle is written to ${path}: ${why}`, {
      details: { path, why },
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

export class BundleUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-073',
    title: 'Bundle cannot be written',
    meaning:
      'The folder that a bundle should go into is not there or cannot be written; nothing half-written was left.',
    remedy: 'Check that the folder is there, its owner and its rights, or name another one with -o.',
    exit: EXIT.denied,
    http: 500,
  }
  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(BundleUnwritableError.info, `cannot write the bundle ${path}`, { why, details: { path }, cause })
  }
}

export class BundleChoiceError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-074',
    title: 'A bundle has its form already',
    meaning: 'A bundle holds a model as it was imported: weights, boundary and tokenizer cannot be chosen once more.',
    remedy: 'Leave the option out, or import the original file with it and export that.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(option: string) {
    super(BundleChoiceError.info, `a bundle is imported as it is, without ${option}`, { details: { option } })
  }
}

export const BUNDLE_ERRORS: readonly ErrorInfo[] = [
  BundleFileError.info,
  BundleIncompleteError.info,
  BundleTargetError.info,
  BundleUnwritableError.info,
  BundleChoiceError.info,
]
