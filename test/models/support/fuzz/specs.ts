/** A GGUF file that is well formed and lies: wrong values, names, shapes, tokenizers, templates, weights. */
import { SOURCE_TYPES } from '../../../../src/models/index.ts'
import type { SourceType } from '../../../../src/models/index.ts'
import type { GgufSpec, KeySpec, TensorSpec } from '../gguf-writer.ts'
import { tinyLlama, withKeys } from '../tiny-llama.ts'
import { ownDefinition } from '../tokenizers.ts'
import type { Random } from './random.ts'

const NUMBERS = [0, 1, 2, 3, 4, 7, 16, 31, 63, 64, 65, 96, 127, 1000, 4096, 65_535, 131_072, 2 ** 20, 2 ** 24, 2 ** 31]
const REALS = [0, -1, 1e-45, 1e-5, 0.5, 1, 10_000, 1e12, 3e38, Infinity, -Infinity, NaN]
const TEXTS = [
  '',
  ' ',
  'a',
  'ab',
  'llama',
  'gpt2',
  'bert',
  'default',
  'smollm',
  'llama-bpe',
  'linear',
  'yarn',
  '\0',
  '\ufeff',
]
const PIECES = [
  '',
  ' ',
  '\u2581',
  '\u2581\u2581',
  'a',
  'ab',
  '<s>',
  '</s>',
  '<0x41>',
  '<0xZZ>',
  '<0x-1>',
  'a b',
  '\u0120',
  '\ud83d\ude00',
  'x'.repeat(5000),
]
const MERGES = ['', ' ', 'a', 'a ', ' a', 'a b', 'a b c', 'q zz', '\u0120 t', 'e e', '\ufffd \ufffd']
const TEMPLATES = [
  '{{',
  '{% if %}',
  '{{ messages }}',
  '{{ bos_token }}',
  "{{ raise_exception('no') }}",
  '{{ 1/0 }}',
  '{{ x.y.z }}',
  '{% for i in range(999999999) %}{{ i }}{% endfor %}',
  '{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}',
  '{% set s = "aaaaaaaaaaaaaaaa" %}{% for i in range(99) %}{% set s = s + s %}{% endfor %}{{ s }}',
  `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`,
  `{{ ${'['.repeat(5000)} }}`,
  '{% if a %}'.repeat(3000),
  "{{ 'a' * 1000000000 }}",
  "{{ messages[0].content.replace('', 'x' * 99999) }}",
  '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
  '{{ messages | tojson(indent=1000000) }}',
  "{{ ''.__class__.__mro__ }}",
  '{{ messages.constructor.constructor("x")() }}',
]

/** The specs that are bent: SentencePiece and byte-level BPE, several storage types. */
export function baseSpecs(): readonly GgufSpec[] {
  const { tokens, types, merges } = ownDefinition()
  const bpe: KeySpec[] = [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'smollm' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'i32', value: types },
    { key: 'tokenizer.ggml.merges', type: 'string', value: merges! },
    { key: 'tokenizer.ggml.eos_token_id', type: 'u32', value: 2 },
    { key: 'tokenizer.ggml.bos_token_id', type: 'u32', value: 1 },
  ]
  const changed = Object.fromEntries(
    ['model', 'tokens', 'scores', 'token_type', 'bos_token_id', 'eos_token_id'].map((name) => [
      `tokenizer.ggml.${name}`,
      undefined,
    ]),
  )
  const plain = withKeys(tinyLlama({ layers: 1, matrix: 'F32' }), changed)
  const wide = plain.tensors.map((tensor) =>
    tensor.name === 'token_embd.weight' ? { ...tensor, shape: [tokens.length, 64] } : tensor,
  )
  return [
    tinyLlama({ layers: 1 }),
    tinyLlama({ layers: 1, matrix: 'F16', tied: false }),
    tinyLlama({ layers: 1, matrix: 'Q4_1' }),
    { keys: [...plain.keys, ...bpe], tensors: wide },
  ]
}

type Lie = (spec: GgufSpec, random: Random) => GgufSpec

const keys = (spec: GgufSpec, random: Random, change: (key: KeySpec) => readonly KeySpec[]): GgufSpec => {
  const at = random.whole(spec.keys.length)
  return { ...spec, keys: spec.keys.flatMap((key, index) => (index === at ? change(key) : [key])) }
}
const tensors = (spec: GgufSpec, random: Random, change: (tensor: TensorSpec) => readonly TensorSpec[]): GgufSpec => {
  const at = random.whole(spec.tensors.length)
  return { ...spec, tensors: spec.tensors.flatMap((tensor, index) => (index === at ? change(tensor) : [tensor])) }
}
const list = (spec: GgufSpec, name: string, change: (values: unknown[]) => unknown[]): GgufSpec => ({
  ...spec,
  keys: spec.keys.map((key) =>
    key.key === `tokenizer.ggml.${name}` && Array.isArray(key.value)
      ? { ...key, value: change([...(key.value as unknown[])]) as string[] }
      : key,
  ),
})
const replaced = (random: Random, by: readonly unknown[]) => (values: unknown[]) => {
  for (let left = 1 + random.whole(3); left > 0; left--) values[random.whole(values.length)] = random.pick(by)
  return values
}
const add = (spec: GgufSpec, key: KeySpec): GgufSpec => withKeys(spec, { [key.key]: key })

const LIES: Readonly<Record<string, Lie>> = {
  'another number': (spec, random) => keys(spec, random, (key) => [{ ...key, value: valueLike(key, random) }]),
  'another type': (spec, random) =>
    keys(spec, random, (key) => [
      { ...key, type: random.pick(['u8', 'i32', 'f32', 'f64', 'u64', 'bool'] as const), value: 1 },
    ]),
  'no such key': (spec, random) => keys(spec, random, () => []),
  'the key twice': (spec, random) => keys(spec, random, (key) => [key, key]),
  'the key under another name': (spec, random) =>
    keys(spec, random, (key) => [{ ...key, key: random.pick(spec.keys).key }]),
  'a number for the shape': (spec, random) => {
    const name = random.pick([
      'block_count',
      'context_length',
      'embedding_length',
      'feed_forward_length',
      'attention.head_count',
      'attention.head_count_kv',
      'attention.key_length',
      'attention.value_length',
      'rope.dimension_count',
      'expert_count',
    ])
    return add(spec, {
      key: `llama.${name}`,
      type: random.pick(['u32', 'u64', 'u16'] as const),
      value: random.pick(NUMBERS),
    })
  },
  'a real for the shape': (spec, random) => {
    const name = random.pick([
      'attention.layer_norm_rms_epsilon',
      'rope.freq_base',
      'rope.scale_linear',
      'rope.scaling.factor',
    ])
    return add(spec, { key: `llama.${name}`, type: random.pick(['f32', 'f64'] as const), value: random.pick(REALS) })
  },
  'another scaling': (spec, random) =>
    add(spec, { key: 'llama.rope.scaling.type', type: 'string', value: random.pick(TEXTS) }),
  'an alignment': (spec, random) => add(spec, { key: 'general.alignment', type: 'u32', value: random.pick(NUMBERS) }),
  'a text': (spec, random) => {
    const name = random.pick(['model', 'pre'])
    return add(spec, { key: `tokenizer.ggml.${name}`, type: 'string', value: random.pick(TEXTS) })
  },
  'a special id': (spec, random) => {
    const name = random.pick(['bos', 'eos', 'eot', 'unknown', 'padding'])
    return add(spec, {
      key: `tokenizer.ggml.${name}_token_id`,
      type: random.pick(['u32', 'i32'] as const),
      value: random.pick([...NUMBERS, -1]),
    })
  },
  'a flag': (spec, random) => {
    const name = random.pick(['add_bos_token', 'add_eos_token', 'add_space_prefix'])
    return add(spec, { key: `tokenizer.ggml.${name}`, type: 'bool', value: random.once(2) })
  },
  pieces: (spec, random) => list(spec, 'tokens', replaced(random, PIECES)),
  'a piece twice': (spec, random) => list(spec, 'tokens', (values) => replaced(random, values)(values)),
  'fewer pieces': (spec, random) => list(spec, 'tokens', (values) => values.slice(random.whole(values.length))),
  'no bytes': (spec, random) =>
    list(spec, 'tokens', (values) =>
      values.map((value, id) => (id > 2 && id < 259 && random.once(3) ? `p${id}` : value)),
    ),
  types: (spec, random) => list(spec, 'token_type', replaced(random, [0, 1, 2, 3, 4, 5, 6, 7, -1, 255, 2 ** 31])),
  'all types': (spec, random) => {
    const type = random.pick([1, 2, 3, 4, 5, 6])
    return list(spec, 'token_type', (values) => values.map(() => type))
  },
  scores: (spec, random) => list(spec, 'scores', replaced(random, REALS)),
  'equal scores': (spec) => list(spec, 'scores', (values) => values.map(() => 0)),
  merges: (spec, random) => list(spec, 'merges', replaced(random, MERGES)),
  'a merge twice': (spec, random) => list(spec, 'merges', (values) => replaced(random, values)(values)),
  'merges in disorder': (spec) => list(spec, 'merges', (values) => values.toReversed()),
  'a template': (spec, random) =>
    add(spec, { key: 'tokenizer.chat_template', type: 'string', value: random.pick(TEMPLATES) }),
  'another shape': (spec, random) =>
    tensors(spec, random, (tensor) => {
      const shape = [...tensor.shape]
      shape[random.whole(shape.length)] = random.pick([...NUMBERS, -1n, 2n ** 32n, 2n ** 63n])
      return [{ ...tensor, shape }]
    }),
  'more dimensions': (spec, random) => tensors(spec, random, (tensor) => [{ ...tensor, shape: [...tensor.shape, 1] }]),
  'a turned shape': (spec, random) =>
    tensors(spec, random, (tensor) => [{ ...tensor, shape: tensor.shape.toReversed() }]),
  'another storage': (spec, random) =>
    tensors(spec, random, (tensor) => [
      { ...tensor, type: random.pick([...(Object.keys(SOURCE_TYPES) as SourceType[]), 5, 24, 99]) },
    ]),
  'an offset': (spec, random) =>
    tensors(spec, random, (tensor) => [
      { ...tensor, offset: random.pick([0n, 1n, 32n, 64n, 2n ** 32n, 2n ** 63n, -32n]) },
    ]),
  'the tensor twice': (spec, random) => tensors(spec, random, (tensor) => [tensor, tensor]),
  'no such tensor': (spec, random) => tensors(spec, random, () => []),
  'a tensor too many': (spec, random) =>
    tensors(spec, random, (tensor) => [
      tensor,
      { ...tensor, name: random.pick(['blk.9.attn_q.weight', 'blk.0.attn_q.bias', 'x', 'rope_freqs.weight']) },
    ]),
  'wild weights': (spec, random) =>
    tensors(spec, random, (tensor) => {
      const byte = random.pick([0x00, 0x7c, 0x7f, 0x80, 0xfc, 0xff])
      const elements = tensor.shape.reduce<number>((product, size) => product * Number(size), 1)
      const known = typeof tensor.type === 'string' && elements < 1e6 ? SOURCE_TYPES[tensor.type] : undefined
      if (known === undefined) return [tensor]
      const data = new Uint8Array(Math.floor(elements / known.block) * known.bytes)
      return [{ ...tensor, data: data.fill(byte) }]
    }),
}

function valueLike({ type, value }: KeySpec, random: Random): KeySpec['value'] {
  if (Array.isArray(value)) return []
  if (type === 'string') return random.pick(TEXTS)
  if (type === 'f32' || type === 'f64') return random.pick(REALS)
  return random.pick(NUMBERS)
}

/** One or two lies about one of the specs. */
export function bendSpec(specs: readonly GgufSpec[], random: Random): { spec: GgufSpec; what: string } {
  let spec = random.pick(specs)
  const what: string[] = []
  for (let left = random.once(3) ? 2 : 1; left > 0; left--) {
    const name = random.pick(Object.keys(LIES))
    if (spec.keys.length === 0 || spec.tensors.length === 0) break
    spec = LIES[name]!(spec, random)
    what.push(name)
  }
  return { spec, what: what.join(', ') }
}
