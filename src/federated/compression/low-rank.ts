/**
 * PowerSGD (Vogels, Karimireddy, Jaggi, arXiv 1905.13727, algorithms 1 and 2): of each matrix M of the update members send M Q, and in a
 * second sum M' P with P the orthonormal columns of the sum of the first; both are linear in M. What P does not reach is kept at the site.
 */
import { FedPlanError } from '../plan/errors.ts'
import { wordsFrom } from '../privacy/words.ts'
import type { FedState } from '../rounds/state.ts'
import { ascii } from '../secagg/bytes.ts'
import { maskStream } from '../secagg/keys.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { orthonormalise } from './orthonormal.ts'
import type { Compression } from './types.ts'

/** One parameter, as rows and columns from a place on. */
export interface Matrix {
  readonly at: number
  readonly rows: number
  readonly columns: number
}

/** Of those parameters that become smaller: vectors, and what is small already, are sent whole. */
export function matricesOf(shapes: readonly { readonly dims: readonly number[] }[], rank: number): Matrix[] {
  const found: Matrix[] = []
  let at = 0
  for (const { dims } of shapes) {
    const size = dims.reduce((product, one) => product * one, 1)
    const rows = dims[0] ?? 1
    const columns = size / rows
    if (dims.length >= 2 && rank * (rows + columns) < size) found.push({ at, rows, columns })
    at += size
  }
  return found
}

/** Arrays of the state: places and sizes of the matrices, Q of the last round, and P between the two sums of one. */
const NAMES = { matrices: 'low-rank matrices', q: 'low-rank q', p: 'low-rank p' } as const

function read({ strategy }: Pick<FedState, 'strategy'>): Matrix[] {
  const list = strategy[NAMES.matrices] ?? new Float64Array()
  return Array.from({ length: list.length / 3 }, (_, index) => ({
    at: list[3 * index]!,
    rows: list[3 * index + 1]!,
    columns: list[3 * index + 2]!,
  }))
}

/** Coordinates of what is sent whole, rising. */
function wholePlaces(d: number, matrices: readonly Matrix[]): Uint32Array {
  const isInside = new Uint8Array(d)
  for (const { at, rows, columns } of matrices) isInside.fill(1, at, at + rows * columns)
  return Uint32Array.from({ length: d }, (_, place) => place).filter((place) => isInside[place] === 0)
}

/** M R, R of `rank` columns; or M' R where `turned`. */
function times(
  m: Float64Array,
  { at, rows, columns }: Matrix,
  r: Float64Array,
  rank: number,
  turned: boolean,
): Float64Array {
  const out = new Float64Array((turned ? columns : rows) * rank)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = m[at + row * columns + column]!
      const [from, to] = turned ? [row, column] : [column, row]
      for (let k = 0; k < rank; k++) out[to * rank + k]! += value * r[from * rank + k]!
    }
  }
  return out
}

/** P Q' as a part of the update. */
function put(
  update: Float64Array,
  { at, rows, columns }: Matrix,
  p: Float64Array,
  q: Float64Array,
  rank: number,
): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0
      for (let k = 0; k < rank; k++) sum += p[row * rank + k]! * q[column * rank + k]!
      update[at + row * columns + column] = sum
    }
  }
}

/** Parts of one array, one behind the other. */
function parts(array: Float64Array, sizes: readonly number[]): Float64Array[] {
  let at = 0
  return sizes.map((size) => array.subarray(at, (at += size)))
}

function joined(all: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(all.reduce((sum, one) => sum + one.length, 0))
  let at = 0
  for (const one of all) {
    out.set(one, at)
    at += one.length
  }
  return out
}

/**
 * Q of the first round. Its law matters little, its bits do: all members must draw the same. Sums of twelve uniform numbers are near
 * to normal, and need no function that engines round in ways of their own.
 */
function drawn(job: string, length: number): Float64Array {
  const stream = maskStream(
    nodePrimitives,
    new Uint8Array(nodePrimitives.sha256(ascii('weft fed low rank/1'), ascii(job))),
  )
  const words = wordsFrom((bytes) => stream.next(bytes))
  return Float64Array.from({ length }, () => {
    let sum = -6
    for (let draw = 0; draw < 12; draw++) sum += words.next() / 2 ** 32
    return sum
  })
}

/** @param name of the plan, for messages */
export function lowRank(job: string, rank: number, name: string): Compression {
  const sizesOf = (matrices: readonly Matrix[], side: 'rows' | 'columns'): number[] =>
    matrices.map((matrix) => rank * matrix[side])
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)
  const isLast = ({ done }: Pick<FedState, 'done'>): boolean => done % 2 === 1
  /** What a mean, or one member's part, of the second sum says of the update. */
  const decompress = (state: FedState, sent: Float64Array): Float64Array => {
    const matrices = read(state)
    const update = new Float64Array(state.global.length)
    const p = parts(state.strategy[NAMES.p]!, sizesOf(matrices, 'rows'))
    const q = parts(sent, sizesOf(matrices, 'columns'))
    for (const [index, matrix] of matrices.entries()) put(update, matrix, p[index]!, q[index]!, rank)
    const from = total(sizesOf(matrices, 'columns'))
    for (const [index, place] of wholePlaces(update.length, matrices).entries()) update[place] = sent[from + index]!
    return update
  }
  return {
    sums: 2,
    isLast,
    first(shapes) {
      const matrices = matricesOf(shapes, rank)
      if (matrices.length === 0) {
        throw new FedPlanError(
          name,
          'compression.rank',
          `${rank} makes no matrix of this model smaller: take a lower one, or none`,
        )
      }
      const list = Float64Array.from(matrices.flatMap(({ at, rows, columns }) => [at, rows, columns]))
      const sizes = sizesOf(matrices, 'columns')
      const q = drawn(job, total(sizes))
      for (const [index, part] of parts(q, sizes).entries()) orthonormalise(part, matrices[index]!.columns, rank, true)
      return { [NAMES.matrices]: list, [NAMES.q]: q }
    },
    size(state) {
      const matrices = read(state)
      if (!isLast(state)) return total(sizesOf(matrices, 'rows'))
      const inside = matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0)
      return total(sizesOf(matrices, 'columns')) + state.global.length - inside
    },
    send(state, vector) {
      const matrices = read(state)
      const side = isLast(state) ? 'rows' : 'columns'
      const factors = parts(state.strategy[isLast(state) ? NAMES.p : NAMES.q]!, sizesOf(matrices, side))
      const products = matrices.map((matrix, index) => times(vector, matrix, factors[index]!, rank, isLast(state)))
      if (!isLast(state)) return { reals: joined(products) }
      const whole = Float64Array.from(wholePlaces(vector.length, matrices), (place) => vector[place]!)
      const reals = joined([...products, whole])
      const carried = decompress(state, reals)
      return { reals, residual: vector.map((value, index) => value - carried[index]!) }
    },
    receive: decompress,
    after(state, mean) {
      const matrices = read(state)
      const list = state.strategy[NAMES.matrices]!
      const side = isLast(state) ? 'columns' : 'rows'
      const sizes = sizesOf(matrices, side)
      const made = mean.slice(0, total(sizes))
      for (const [index, part] of parts(made, sizes).entries()) {
        orthonormalise(part, matrices[index]![side], rank, isLast(state))
      }
      if (isLast(state)) return { [NAMES.matrices]: list, [NAMES.q]: made }
      return { [NAMES.matrices]: list, [NAMES.q]: state.strategy[NAMES.q]!, [NAMES.p]: made }
    },
  }
}

/** A strategy's own arrays, without those of the compression. */
export function withoutCarried(strategy: FedState['strategy']): FedState['strategy'] {
  const carried: readonly string[] = Object.values(NAMES)
  return Object.fromEntries(Object.entries(strategy).filter(([name]) => !carried.includes(name)))
}
