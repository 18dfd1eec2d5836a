/** What a member, an aggregator or an auditor refuses. Each says who is meant and where, as fields. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** Whom and what an error is about; both are left out where nobody and nothing in particular is. */
export interface Place {
  /** Position in the roster, or in the list that was given; -1 is never used. */
  readonly party?: number
  /** Position in the vector or list, from 0. */
  readonly index?: number
}

/** The base of all refusals: `kind` is a word that never changes (docs/vectors.md). */
export abstract class FederatedError extends WeftError {
  readonly kind: string
  readonly party: number | undefined
  readonly index: number | undefined
  readonly #facts: Record<string, unknown>

  constructor(info: ErrorInfo, kind: string, message: string, place: Place = {}) {
    const facts = { kind, ...place }
    super(info, message, { details: facts })
    this.#facts = facts
    this.kind = kind
    this.party = place.party
    this.index = place.index
  }

  /** Of which stage of a round the message was, or was to be; undefined outside of one. */
  get stage(): string | undefined {
    return this.#facts['stage'] as string | undefined
  }

  /** PeerId of `party`, where whoever handled it knew the roster. */
  get member(): string | undefined {
    return this.#facts['member'] as string | undefined
  }

  /** Adds what a check cannot know and its caller does; what was told first stays. */
  tell(facts: { readonly stage?: string; readonly member?: string | undefined }): void {
    for (const [name, value] of Object.entries(facts)) this.#facts[name] ??= value
  }
}

/** What the action refuses says that it was in this stage. */
export function inStage<Result>(stage: string, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    if (error instanceof FederatedError) error.tell({ stage })
    throw error
  }
}

const REFUSED = { exit: EXIT.usage, http: 400 } as const

export class NotFiniteError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-001',
    title: 'Value not finite',
    meaning: 'An update, a norm or a weight is NaN or infinite. It is refused, never skipped.',
    remedy: 'Look at the training of the member that is named: learning rate, overflow, empty columns.',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(NotFiniteError.info, 'not-finite', message, place)
  }
}

export class OutOfBoundError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-002',
    title: 'Value beyond the clip bound',
    meaning: 'A value is larger than the bound of the plan. weft does not clip a coordinate in silence.',
    remedy: 'Clip the update to its norm before it is encoded, or agree on a plan with a larger "c".',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(OutOfBoundError.info, 'out-of-range', message, place)
  }
}

export class ParameterRangeError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-003',
    title: 'Parameter out of its range',
    meaning: 'A parameter of a strategy, of an accountant or of an encoding has a value for which it is not defined.',
    remedy: 'Correct the parameter that the message names.',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(ParameterRangeError.info, 'range', message, place)
  }
}

export class EmptyInputError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-004',
    title: 'Nothing to compute on',
    meaning: 'There is no coordinate or no update.',
    remedy: 'Give at least one.',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(EmptyInputError.info, 'empty', message, place)
  }
}

export class VectorLengthError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-005',
    title: 'Vector of another length',
    meaning: 'A vector, a key or packed bytes have another length than the round says.',
    remedy: 'The member that is named trains another model, or its bytes were cut off.',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(VectorLengthError.info, 'length', message, place)
  }
}

export class PaddingError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-006',
    title: 'Padding not zero',
    meaning: 'Bits after the last packed word are set, so that two texts would stand for one vector.',
    remedy: 'The bytes are damaged, or made by something that is not this protocol.',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(PaddingError.info, 'padding', message, place)
  }
}

export class ModulusError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-007',
    title: 'Sum does not fit the modulus',
    meaning: 'The sum of all members, with its noise, may not fit the number of bits of the plan, or takes over 32.',
    remedy: 'Raise "bits", or lower "f" or "c".',
    ...REFUSED,
  }
  constructor(message: string, place?: Place) {
    super(ModulusError.info, 'modulus', message, place)
  }
}

export class DigestMismatchError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-008',
    title: 'Bytes do not have their digest',
    meaning: 'A masked vector in a transcript is not the one whose digest its member signed.',
    remedy: 'Fetch the transcript again; if it stays so, whoever keeps it has changed it.',
    exit: EXIT.integrity,
    http: 502,
  }
  constructor(message: string, place?: Place) {
    super(DigestMismatchError.info, 'digest', message, place)
  }
}

export const FEDERATED_ERRORS: readonly ErrorInfo[] = [
  NotFiniteError.info,
  OutOfBoundError.info,
  ParameterRangeError.info,
  EmptyInputError.info,
  VectorLengthError.info,
  PaddingError.info,
  ModulusError.info,
  DigestMismatchError.info,
]
