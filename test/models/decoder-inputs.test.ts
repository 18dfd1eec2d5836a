/** What is told from the names, types and shapes of a decoder's inputs and outputs. */
import { describe, expect, it } from 'vitest'
import { decoderLayout, decoderText, stateBytes } from '../../src/models/index.ts'
import type { Dimension, PlannedValue } from '../../src/onnx/index.ts'

const value = (name: string, type: string, shape: readonly Dimension[] | null): PlannedValue => ({ name, type, shape })
const ids = value('input_ids', 'int64', ['batch_size', 'sequence_length'])
const mask = value('attention_mask', 'int64', ['batch_size', 'total_sequence_length'])
const logits = value('logits', 'float32', ['batch_size', 'sequence_length', 100])
const past = (
  name: string,
  type = 'float32',
  shape: readonly Dimension[] = ['batch_size', 2, 'past', 16],
): PlannedValue => value(name, type, shape)
const pair = [past('past_key_values.0.key'), past('present.0.key')] as const

describe('a decoder export', () => {
  it('is known by what it carries from step to step, as Optimum names it', () => {
    const inputs = [
      ids,
      mask,
      value('position_ids', 'int64', ['batch_size', 'sequence_length']),
      value('use_cache_branch', 'bool', [1]),
      value('num_logits_to_keep', 'int64', []),
      pair[0],
      past('past_key_values.0.value', 'float16'),
    ]
    const outputs = [logits, value('hidden', 'float32', null), pair[1], past('present.0.value', 'float16')]
    const layout = decoderLayout(inputs, outputs)!
    expect(layout.inputs.map(({ role, rank }) => [role, rank])).toEqual([
      ['ids', 2],
      ['mask', 2],
      ['positions', 2],
      ['use_cache', 1],
      ['kept_logits', 0],
    ])
    expect(layout.caches).toMatchObject([
      { output: 'present.0.key', input: 'past_key_values.0.key', shape: [1, 2, 0, 16], axis: 2, type: 'float32' },
      { output: 'present.0.value', shape: [1, 2, 0, 16], axis: 2, type: 'float16' },
    ])
    expect(layout.caches.map((cache) => stateBytes(cache, 10))).toEqual([1280, 640])
    expect(decoderText(inputs, outputs)).toEqual({
      kind: 'decoder',
      logits: 'logits',
      carried: [
        { output: 'present.0.key', input: 'past_key_values.0.key' },
        { output: 'present.0.value', input: 'past_key_values.0.value' },
      ],
    })
  })

  it('may have both caches of a layer in one, lengths for the kernel, and states that do not grow', () => {
    const fused = past('past_0', 'float32', [2, 'batch', 4, 'past_len', 8])
    const state = past('past_conv.0', 'float32', ['batch', 64, 3])
    const lengths = [value('seqlens_k', 'int32', ['batch']), value('total_sequence_length', 'int32', [1])]
    const outputs = [
      logits,
      past('present_0', 'float32', [2, 'batch', 4, 't', 8]),
      { ...state, name: 'present_conv.0' },
    ]
    const layout = decoderLayout([ids, fused, state, ...lengths], outputs)!
    expect(layout.inputs.map(({ role }) => role)).toEqual(['ids', 'last_position', 'total_length'])
    expect(layout.caches).toMatchObject([
      { shape: [2, 1, 4, 0, 8], axis: 3 },
      { shape: [1, 64, 3], axis: null },
    ])
    expect(layout.caches.map((cache) => stateBytes(cache, 5))).toEqual([1280, 768])
  })

  it('is none without caches, or without ids', () => {
    expect(decoderLayout([ids, mask], [logits])).toBeNull()
    expect(decoderLayout([mask, pair[0]], [logits, pair[1]])).toBeNull()
    expect(decoderLayout([], [])).toBeNull()
  })

  it.each([
    ['encoder_hidden_states', [ids, value('encoder_hidden_states', 'float32', null), pair[0]], [logits, pair[1]]],
    ['attention_mask', [ids, value('attention_mask', 'int64', ['b', 1, 's', 't']), pair[0]], [logits, pair[1]]],
    ['attention_mask', [ids, value('attention_mask', 'float32', ['b', 't']), pair[0]], [logits, pair[1]]],
    ['past_key_values.1.key', [ids, pair[0], past('past_key_values.1.key')], [logits, pair[1]]],
    ['float16', [ids, past('past_key_values.0.key', 'float16')], [logits, pair[1]]],
    ['bfloat16', [ids, past('past_key_values.0.key', 'bfloat16')], [logits, past('present.0.key', 'bfloat16')]],
    ['heads', [ids, past('past_key_values.0.key', 'float32', ['batch', 'heads', 'past', 16])], [logits, pair[1]]],
    ['no shape', [ids, value('past_key_values.0.key', 'float32', null)], [logits, pair[1]]],
    ['no output named logits', [ids, pair[0]], [pair[1]]],
    ['logits are float64', [ids, pair[0]], [{ ...logits, type: 'float64' }, pair[1]]],
    ['bytes before the first token', [ids, past('past_0', 'float32', [2 ** 40])], [logits, past('present_0')]],
  ] as const)('says what it lacks: %s', (what, inputs, outputs) => {
    const told = (): unknown => decoderLayout(inputs, outputs)
    expect(told).toThrow(what)
    expect(told).toThrow(expect.objectContaining({ code: 'WEFT-MOD-092' }))
  })
})
