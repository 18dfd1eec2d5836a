/** Small models of every kind of flow, as files. */
import { join } from 'node:path'
import { writeModel } from '../../../../src/onnx/ir/index.ts'
import type { Model } from '../../../../src/onnx/ir/index.ts'
import type { AnyTensor } from '../../../../src/onnx/index.ts'
import { floats, model, node, tensorType } from '../../../onnx/cut/support/build.ts'

export function f32(dims: readonly number[], start = 0): AnyTensor {
  const count = dims.reduce((product, dim) => product * dim, 1)
  return { type: 'float32', dims, data: Float32Array.from({ length: count }, (_, index) => Math.sin(index + start)) }
}

export async function write(folder: string, name: string, made: Model): Promise<string> {
  const path = join(folder, name)
  await writeModel(made, path)
  return path
}

const WIDTH = 8
function weights(name: string, width = WIDTH): ReturnType<typeof floats> {
  const values = Array.from({ length: width * width }, (_, index) => Math.cos(index * 7 + name.charCodeAt(1)) / 3)
  return floats(name, [width, width], values)
}

/** Eight products in a row; `early` leaves in the middle, `late` comes in at the end, and `x` is added there again. */
export function crossing(width = WIDTH): Model {
  const rows = tensorType('float32', ['batch', width])
  const nodes = Array.from({ length: 8 }, (_, index) => [
    node('MatMul', [index === 0 ? 'x' : `a${index - 1}`, `w${index}`], [`m${index}`]),
    node('Tanh', [`m${index}`], [index === 3 ? 'early' : `a${index}`]),
    ...(index === 3 ? [node('Neg', ['early'], ['a3'])] : []),
  ]).flat()
  return model({
    nodes: [...nodes, node('Add', ['a7', 'late'], ['s']), node('Add', ['s', 'x'], ['y'])],
    inputs: { x: rows, late: rows },
    outputs: { y: rows, early: rows },
    initializers: Array.from({ length: 8 }, (_, index) => weights(`w${index}`, width)),
  })
}

/** One product between two small nodes: cut anywhere, a partition has nearly all of it. */
export function lopsided(width = 1024): Model {
  const row = tensorType('float32', [1, width])
  return model({
    nodes: [node('Neg', ['x'], ['n']), node('MatMul', ['n', 'w0'], ['m']), node('Tanh', ['m'], ['y'])],
    inputs: { x: row },
    outputs: { y: row },
    initializers: [weights('w0', width)],
  })
}

/** A row of each batch minus the mean of all: cutting the batch changes it, and the shapes do not tell. */
export function mixing(): Model {
  const rows = tensorType('float32', ['batch', WIDTH])
  return model({
    nodes: [
      node('MatMul', ['x', 'w0'], ['m']),
      node('ReduceMean', ['m', 'axes'], ['mean'], { keepdims: 1 }),
      node('Sub', ['m', 'mean'], ['d']),
      node('MatMul', ['d', 'w1'], ['n']),
      node('Tanh', ['n'], ['y']),
    ],
    inputs: { x: rows },
    outputs: { y: rows },
    initializers: [
      weights('w0'),
      weights('w1'),
      { name: 'axes', type: 'int64', dims: [1], data: { kind: 'bytes', bytes: new Uint8Array(8) } },
    ],
  })
}

/** Two states: `p` is used where it is made; `q` is made at the end and used at the start. */
export function recurrent(): Model {
  const row = tensorType('float32', [1, WIDTH])
  return model({
    nodes: [
      node('Add', ['x', 'q_in'], ['i']),
      node('MatMul', ['i', 'w0'], ['m']),
      node('Tanh', ['m'], ['h']),
      node('Add', ['h', 'p_in'], ['p_out']),
      node('MatMul', ['p_out', 'w1'], ['n']),
      node('Tanh', ['n'], ['o']),
      node('MatMul', ['o', 'w2'], ['r']),
      node('Tanh', ['r'], ['q_out']),
      node('Neg', ['q_out'], ['y']),
    ],
    inputs: { x: row, p_in: row, q_in: row },
    outputs: { y: row, p_out: row, q_out: row },
    initializers: [weights('w0'), weights('w1'), weights('w2')],
  })
}

/** Texts in and out, and a scalar. */
export function words(): Model {
  return model({
    nodes: [node('Identity', ['texts'], ['same']), node('Neg', ['n'], ['minus'])],
    inputs: { texts: tensorType('string', ['count']), n: tensorType('float32', []) },
    outputs: { same: tensorType('string', ['count']), minus: tensorType('float32', []) },
  })
}

/** Runs for ever, or as often as its input `n` says. */
export function endless(counted = false): Model {
  const body = {
    ...model({
      nodes: [node('Identity', ['go'], ['go_on']), node('Identity', ['v'], ['v_out'])],
      inputs: { i: tensorType('int64', []), go: tensorType('bool', []), v: tensorType('float32', [1]) },
      outputs: { go_on: tensorType('bool', []), v_out: tensorType('float32', [1]) },
    }).graph,
  }
  return model({
    nodes: [node('Loop', [counted ? 'n' : '', 'yes', 'x'], ['y'], { body })],
    inputs: { x: tensorType('float32', [1]), ...(counted ? { n: tensorType('int64', []) } : {}) },
    outputs: { y: tensorType('float32', [1]) },
    initializers: [{ name: 'yes', type: 'bool', dims: [], data: { kind: 'bytes', bytes: Uint8Array.of(1) } }],
  })
}
