/** Recurrent models for sequences. */
import { glorotUniform, orthogonal, zeros } from './initialisers.ts'
import type { Layers } from './layers.ts'
import type { ModelInput } from './types.ts'

/** Gates of a cell, and the form of its operator. */
const CELLS = { gru: { operator: 'GRU', gates: 3, last: 1 }, lstm: { operator: 'LSTM', gates: 4, last: 1 } } as const

/** x [batch, length, features]: the last state of one GRU or LSTM, then a dense layer. */
export function recurrent(
  layers: Layers,
  { name, dims }: ModelInput,
  outputs: number,
  { kind, hidden }: { readonly kind: 'gru' | 'lstm'; readonly hidden: number },
): string {
  const { maker } = layers
  const { operator, gates } = CELLS[kind]
  const features = dims[1]!
  const input = layers.weight(`${kind}0.input`, [1, gates * hidden, features], features, hidden, glorotUniform)
  // One orthogonal matrix a gate (Saxe et al.): a state keeps its length over many steps.
  const square = (
    count: number,
    fanIn: number,
    fanOut: number,
    seeded: Parameters<typeof orthogonal>[3],
  ): Float32Array => {
    const all = new Float32Array(count)
    for (let gate = 0; gate < gates; gate++)
      all.set(orthogonal(fanIn * fanOut, fanIn, fanOut, seeded), gate * fanIn * fanOut)
    return all
  }
  const state = layers.weight(`${kind}0.state`, [1, gates * hidden, hidden], hidden, hidden, square)
  const bias = layers.weight(`${kind}0.bias`, [1, 2 * gates * hidden], hidden, hidden, zeros)
  const steps = maker.op('Transpose', [name], { perm: [1, 0, 2] })
  const extra = kind === 'gru' ? { linear_before_reset: 1 } : {}
  const [, last] = maker.ops(operator, [steps, input, state, bias], 2, { hidden_size: hidden, ...extra })
  return layers.dense('dense0', maker.op('Squeeze', [last, maker.int64s([0])]), hidden, outputs)
}
