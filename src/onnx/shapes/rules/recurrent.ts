/** RNN, GRU and LSTM: all states in time, then the last ones. */
import { tensor } from '../call.ts'
import type { Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

const recurrent: Rule = (call) => {
  const [time, batch] = call.int('layout', 0) === 0 ? [0, 1] : [1, 0]
  const type = call.type(0)
  const data = call.shapeOfRank(0, 3)
  const steps = data?.[time] ?? null
  const rows = data?.[batch] ?? null
  const directions = call.text('direction', 'forward') === 'bidirectional' ? 2 : 1
  const hidden = call.int('hidden_size') ?? call.dimension(2, 2)
  const last = time === 0 ? [directions, rows, hidden] : [rows, directions, hidden]
  const all = time === 0 ? [steps, directions, rows, hidden] : [rows, steps, directions, hidden]
  return [tensor(type, all), tensor(type, last), tensor(type, last)]
}

export const RECURRENT: readonly Family[] = [
  { operators: 'RNN GRU LSTM', rule: recurrent },
  { domain: MICROSOFT, operators: 'DynamicQuantizeLSTM', rule: recurrent },
]
