/** Recurrent cells and quantized weights by their definitions. */
import { build, float, get, int, matmul, reshape, text } from './array.ts'
import type { Inputs, Kernel, Numbers } from './array.ts'
import type { Node } from '../../../../../src/onnx/index.ts'

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

interface Cell {
  readonly gates: number
  /** One example's next states from its own: the first is the output. */
  readonly step: (at: Step) => readonly (readonly number[])[]
}

interface Step {
  readonly node: Node
  /** Of gate g, the sum of input, recurrence (of `state`) and biases; without the recurrence, and the recurrence. */
  readonly fed: (gate: number, unit: number) => number
  readonly back: (gate: number, unit: number, state?: readonly number[]) => number
  readonly states: readonly (readonly number[])[]
  readonly peephole: (which: number, unit: number) => number
}

const each = (hidden: readonly number[], by: (unit: number) => number): readonly number[] =>
  hidden.map((_, unit) => by(unit))

const CELLS: Readonly<Record<string, Cell>> = {
  RNN: {
    gates: 1,
    step: ({ fed, back, states: [hidden] }) => [each(hidden!, (unit) => Math.tanh(fed(0, unit) + back(0, unit)))],
  },
  GRU: {
    gates: 3,
    step: ({ node, fed, back, states: [hidden] }) => {
      const [z, r] = [0, 1].map((gate) => each(hidden!, (unit) => sigmoid(fed(gate, unit) + back(gate, unit))))
      const isLate = int(node, 'linear_before_reset', 0) === 1
      const reset = each(hidden!, (unit) => r![unit]! * hidden![unit]!)
      const inner = (unit: number): number => (isLate ? r![unit]! * back(2, unit) : back(2, unit, reset))
      return [
        each(hidden!, (unit) => (1 - z![unit]!) * Math.tanh(fed(2, unit) + inner(unit)) + z![unit]! * hidden![unit]!),
      ]
    },
  },
  // Gates i, o, f, c; peepholes i, o, f.
  LSTM: {
    gates: 4,
    step: ({ node, fed, back, states: [hidden, cell], peephole }) => {
      const most = float(node, 'clip', Infinity)
      // Of gates alone: the cell may be larger.
      const clip = (value: number): number => Math.min(most, Math.max(-most, value))
      const sum = (gate: number, unit: number): number => fed(gate, unit) + back(gate, unit)
      const next = each(cell!, (unit) => {
        const input = sigmoid(clip(sum(0, unit) + peephole(0, unit) * cell![unit]!))
        const forget = sigmoid(clip(sum(2, unit) + peephole(2, unit) * cell![unit]!))
        return forget * cell![unit]! + input * Math.tanh(clip(sum(3, unit)))
      })
      const output = each(hidden!, (unit) => sigmoid(clip(sum(1, unit) + peephole(1, unit) * next[unit]!)))
      return [each(hidden!, (unit) => output[unit]! * Math.tanh(next[unit]!)), next]
    },
  },
}

/** X [length, batch, input]. */
const recurrent =
  (name: string): Kernel =>
  (inputs, node) => {
    const [x] = inputs
    const [length, batch] = x!.dims as [number, number]
    const hidden = int(node, 'hidden_size', 0)
    const direction = text(node, 'direction', 'forward')
    const ways = direction === 'bidirectional' ? 2 : 1
    const outputs = new Map<string, readonly number[]>()
    const last = new Map<string, readonly (readonly number[])[]>()
    for (let way = 0; way < ways; way++) {
      for (let n = 0; n < batch; n++) {
        const isBack = direction === 'reverse' || way === 1
        last.set(
          [way, n].join(),
          run(CELLS[name]!, inputs, node, { way, n, length, hidden, isBack }, (at, value) =>
            outputs.set([at, way, n].join(), value),
          ),
        )
      }
    }
    const count = name === 'LSTM' ? 2 : 1
    const zero = Array.from({ length: hidden }, () => 0)
    return [
      build([length, ways, batch, hidden], ([at, way, n, unit]) => (outputs.get([at, way, n].join()) ?? zero)[unit!]!),
      ...Array.from({ length: count }, (_, state) =>
        build([ways, batch, hidden], ([way, n, unit]) => last.get([way, n].join())![state]![unit!]!),
      ),
    ]
  }

function run(
  cell: Cell,
  [x, w, r, b, lengths, ...more]: Inputs,
  node: Node,
  at: {
    readonly way: number
    readonly n: number
    readonly length: number
    readonly hidden: number
    readonly isBack: boolean
  },
  emit: (place: number, value: readonly number[]) => void,
): readonly (readonly number[])[] {
  const { way, n, length, hidden, isBack } = at
  const units = Array.from({ length: hidden }, (_, unit) => unit)
  const initial = (value: Numbers | undefined): readonly number[] =>
    units.map((unit) => (value === undefined ? 0 : get(value, [way, n, unit])!))
  let states: readonly (readonly number[])[] =
    cell.gates === 4 ? [initial(more[0]), initial(more[1])] : [initial(more[0])]
  const bias = (row: number): number => (b === undefined ? 0 : get(b, [way, row])!)
  const end = lengths === undefined ? length : lengths.data[n]!
  for (let turn = 0; turn < end; turn++) {
    const place = isBack ? end - 1 - turn : turn
    const input = Array.from({ length: x!.dims[2]! }, (_, column) => get(x!, [place, n, column])!)
    const own = states
    const product = (matrix: Numbers, row: number, by: readonly number[]): number =>
      by.reduce((sum, number, column) => sum + number * get(matrix, [way, row, column])!, 0)
    states = cell.step({
      node,
      states,
      fed: (gate, unit) => product(w!, gate * hidden + unit, input) + bias(gate * hidden + unit),
      back: (gate, unit, state = own[0]!) =>
        product(r!, gate * hidden + unit, state) + bias((cell.gates + gate) * hidden + unit),
      peephole: (which, unit) => (more[2] === undefined ? 0 : get(more[2], [way, which * hidden + unit])!),
    })
    emit(place, states[0]!)
  }
  return states
}

/** Four bits to a number, the lower half of a byte first; or eight. */
const matMulBits: Kernel = ([a, packed, scales, zeros, , bias], node) => {
  const [bits, block, k, n] = ['bits', 'block_size', 'K', 'N'].map((name) => int(node, name, 0)) as [
    number,
    number,
    number,
    number,
  ]
  const blocks = Math.ceil(k / block)
  const nibble = (bytes: Numbers, perRow: number, row: number, at: number): number => {
    if (bits === 8) return bytes.data[row * perRow + at]!
    const byte = bytes.data[row * perRow + (at >> 1)]!
    return at % 2 === 0 ? byte & 15 : byte >> 4
  }
  const rowBytes = (blocks * block * bits) / 8
  const isPackedZero = zeros !== undefined && zeros.data.length === n * Math.ceil((blocks * bits) / 8) && bits === 4
  const zero = (row: number, at: number): number => {
    if (zeros === undefined) return 2 ** (bits - 1)
    return isPackedZero ? nibble(zeros, Math.ceil(blocks / 2), row, at) : zeros.data[row * blocks + at]!
  }
  const weights = build([k, n], ([column, row]) => {
    const at = Math.floor(column! / block)
    return (nibble(packed!, rowBytes, row!, column!) - zero(row!, at)) * scales!.data[row! * blocks + at]!
  })
  const flat = matmul(reshape(a!, [-1, k]), weights)
  const result = bias === undefined ? flat : build(flat.dims, (index) => get(flat, index)! + bias.data[index[1]!]!)
  return [reshape(result, [...a!.dims.slice(0, -1), n])]
}

const dequantize: Kernel = ([x, scale, zero], node) => {
  const [rank, block] = [x!.dims.length, int(node, 'block_size', 0)]
  const given = int(node, 'axis', 1)
  const axis = given < 0 ? given + rank : given
  const of = (value: Numbers, index: readonly number[]): number => {
    if (value.dims.length === 0) return value.data[0]!
    if (block === 0) return value.data[index[axis]!]!
    return get(
      value,
      index.map((at, place) => (place === axis ? Math.floor(at / block) : at)),
    )!
  }
  return [build(x!.dims, (index) => (get(x!, index)! - (zero === undefined ? 0 : of(zero, index))) * of(scale!, index))]
}

export const SEQUENCES: Readonly<Record<string, Kernel>> = {
  RNN: recurrent('RNN'),
  GRU: recurrent('GRU'),
  LSTM: recurrent('LSTM'),
  DequantizeLinear: dequantize,
  'com.microsoft:MatMulNBits': matMulBits,
}
