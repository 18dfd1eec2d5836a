/** What a member puts into the sum: read in pieces, so that encoded and masked vectors never exist whole. */
import { ParameterRangeError, VectorLengthError } from '../errors.ts'
import { checkInteger, integerBound, roundStochastic } from './encoding.ts'
import type { Encoding } from './encoding.ts'

export interface UpdateSource {
  /** Coordinates. */
  readonly length: number
  /** Writes coordinates `from`, `from + 1`, .. as integers mod 2^32; called once for each piece, rising. */
  read(from: number, words: Uint32Array): void
}

/** Uniform numbers in [0, 1), one a coordinate. */
export type Uniform = (index: number) => number

/** Reals, rounded by chance as they are read. @throws NotFiniteError, OutOfBoundError on reading */
export function updateOfReals(values: ArrayLike<number>, encoding: Encoding, uniform: Uniform): UpdateSource {
  return {
    length: values.length,
    read(from, words) {
      for (let index = 0; index < words.length; index++) {
        const at = from + index
        words[index] = roundStochastic(values[at]!, uniform(at), encoding, at)
      }
    },
  }
}

/** Integers that were rounded, or noised, before. @throws NotFiniteError, OutOfBoundError on reading */
export function updateOfIntegers(values: ArrayLike<number>, encoding: Encoding): UpdateSource {
  const bound = integerBound(encoding)
  return {
    length: values.length,
    read(from, words) {
      for (let index = 0; index < words.length; index++) {
        const value = values[from + index]!
        checkInteger(value, bound, from + index)
        words[index] = value
      }
    },
  }
}

/** Uniform numbers that were drawn elsewhere. @throws VectorLengthError, ParameterRangeError on use */
export function uniformOf(values: ArrayLike<number>, length: number): Uniform {
  if (values.length !== length) throw new VectorLengthError(`${length} coordinates need as many uniform numbers`)
  return (index) => {
    const u = values[index]!
    if (!(u >= 0 && u < 1)) throw new ParameterRangeError(`u ${index} is ${u}, not in [0, 1)`, { index })
    return u
  }
}

/** @throws VectorLengthError */
export function checkUpdateLength(update: UpdateSource, d: number): void {
  if (update.length !== d) throw new VectorLengthError(`the update has ${update.length} coordinates, the model ${d}`)
}
