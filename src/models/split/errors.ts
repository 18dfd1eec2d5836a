/** What can go wrong when a model is written as partitions. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class SplitCutsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-060',
    title: 'Impossible cuts',
    meaning: 'A model cannot be cut where, or into as many partitions as, it was asked.',
    remedy: 'Cuts are block numbers that rise, from 1 to the last block; weft show MODEL lists the blocks.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>>) {
    super(SplitCutsError.info, `the model cannot be cut like this: ${why}`, { why, details })
  }
}

export class SplitTargetError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-061',
    title: 'Folder not free for partitions',
    meaning: 'The folder that partitions should go into holds other files, is no folder, or is being written.',
    remedy: 'Name a new or empty folder with -o, or the one of an earlier split, which is then replaced.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(path: string, why: string) {
    super(SplitTargetError.info, `partitions are not written into ${path}: ${why}`, { why, details: { path } })
  }
}

export class SplitUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-062',
    title: 'Partitions cannot be written',
    meaning: 'The folder that partitions should go into cannot be made or written; nothing half-written was left.',
    remedy: 'Check the owner and rights of the folder, or name another one with -o.',
    exit: EXIT.denied,
    http: 500,
  }
  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(SplitUnwritableError.info, `cannot write partitions into ${path}`, { why, details: { path }, cause })
  }
}

export class SplitIncompleteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-063',
    title: 'Not all of the model is here',
    meaning: 'Partitions are written from the tensors in the store, and some blocks of the model have none there.',
    remedy: 'weft import brings the whole model into this home; weft ls shows where it can come from.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(model: string, blocks: readonly number[]) {
    super(SplitIncompleteError.info, `the store has not all blocks of ${model}`, {
      why: `block ${blocks[0]!} is missing${blocks.length === 1 ? '' : `, and ${blocks.length - 1} more`}`,
      details: { model, blocks },
    })
  }
}

export class SplitDiffersError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-064',
    title: 'The partitions do not give what the whole model gives',
    meaning: 'The check ran the model whole and as a chain of partitions, and an output was not the same bit for bit.',
    remedy:
      'Nothing was written. Report it with weft bugreport: kernels of this machine depend on where a model is cut.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(model: string, output: string, step: number) {
    super(SplitDiffersError.info, `${model} whole and split differ in ${output}, step ${step}`, {
      details: { model, output, step },
    })
  }
}

export const SPLIT_ERRORS: readonly ErrorInfo[] = [
  SplitCutsError.info,
  SplitTargetError.info,
  SplitUnwritableError.info,
  SplitIncompleteError.info,
  SplitDiffersError.info,
]
