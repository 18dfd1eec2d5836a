/** Small random decoders with caches as inputs and outputs, as exporters lay them out, in a folder of the hub's layout. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeModel } from '../../../../src/onnx/ir/index.ts'
import type { Model, Node, TensorValue, ValueType } from '../../../../src/onnx/ir/index.ts'
import { byteTokenizer } from '../../../models/support/hub-writer.ts'
import { floats, int64s, model, node, tensorType } from '../../../onnx/cut/support/build.ts'

export const CONTEXT = 96
const { tokens: VOCABULARY, json: TOKENIZER } = byteTokenizer()
const [HEADS, KV_HEADS, HEAD_DIM] = [4, 2, 16]
const [WIDTH, KV_WIDTH, HIDDEN] = [HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM, 96]

class Making {
  readonly nodes: Node[] = []
  readonly initializers = new Map<string, TensorValue>()
  readonly inputs: Record<string, ValueType> = {}
  readonly outputs: Record<string, ValueType> = {}
  #state = 12345
  #next = 0

  op(type: string, inputs: readonly string[], attributes: Parameters<typeof node>[3] = {}, domain = ''): string {
    const name = `v${this.#next++}`
    this.nodes.push(node(type, inputs, [name], attributes, domain))
    return name
  }

  random(name: string, dims: readonly number[], scale = 1): string {
    const count = dims.reduce((product, dim) => product * dim, 1)
    const values = Array.from({ length: count }, () => {
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0
      return ((this.#state >>> 8) / 2 ** 24 - 0.5) * 2 * scale
    })
    this.initializers.set(name, floats(name, dims, values))
    return name
  }

  ints(values: readonly number[], dims: readonly number[] = [values.length]): string {
    const name = `i${values.join('_')}s${dims.length}`
    this.initializers.set(name, int64s(name, values, dims))
    return name
  }

  number(value: number): string {
    const name = `f${value}`
    this.initializers.set(name, floats(name, [], [value]))
    return name
  }

  table(name: string, values: (position: number, at: number) => number, width: number): string {
    const all = Array.from({ length: CONTEXT * width }, (_, at) => values(Math.floor(at / width), at % width))
    this.initializers.set(name, floats(name, [CONTEXT, width], all))
    return name
  }

  finish(): Model {
    const { nodes, inputs, outputs, initializers } = this
    return model({ nodes, inputs, outputs, initializers: [...initializers.values()] })
  }
}

function norm(make: Making, x: string, name: string): string {
  const mean = make.op('ReduceMean', [make.op('Mul', [x, x]), make.ints([-1])], { keepdims: 1 })
  const root = make.op('Sqrt', [make.op('Add', [mean, make.number(1e-5)])])
  return make.op('Mul', [make.op('Div', [x, root]), make.random(`${name}.norm`, [WIDTH], 1.5)])
}

function project(make: Making, x: string, name: string, from: number, to: number): string {
  return make.op('MatMul', [x, make.random(name, [from, to], 2 / Math.sqrt(from))])
}

function feedForward(make: Making, x: string, layer: number): string {
  const gate = project(make, x, `l${layer}.gate`, WIDTH, HIDDEN)
  const up = project(make, x, `l${layer}.up`, WIDTH, HIDDEN)
  const mixed = make.op('Mul', [make.op('Mul', [gate, make.op('Sigmoid', [gate])]), up])
  return project(make, mixed, `l${layer}.down`, HIDDEN, WIDTH)
}

/** [batch, rows, heads * dim] to [batch, heads, rows, dim]. */
function split(make: Making, x: string, heads: number): string {
  return make.op('Transpose', [make.op('Reshape', [x, make.ints([0, 0, heads, HEAD_DIM])])], { perm: [0, 2, 1, 3] })
}

/** Halves rotated by the row's position. */
function rotate(make: Making, x: string, cos: string, sin: string): string {
  const half = (from: number, to: number): string =>
    make.op('Slice', [x, make.ints([from]), make.ints([to]), make.ints([3])])
  const turned = make.op('Concat', [make.op('Neg', [half(HEAD_DIM / 2, HEAD_DIM)]), half(0, HEAD_DIM / 2)], { axis: 3 })
  return make.op('Add', [make.op('Mul', [x, cos]), make.op('Mul', [turned, sin])])
}

/** Scores of what a row may see, [batch, 1, rows, total], as a bool. */
function visible(make: Making, positions: string, keys: string): string {
  const total = make.op('Squeeze', [
    make.op('Slice', [make.op('Shape', [keys]), make.ints([-2]), make.ints([-1])]),
    make.ints([0]),
  ])
  const range = make.op('Range', [make.ints([0], []), total, make.ints([1], [])])
  const rows = make.op('Unsqueeze', [positions, make.ints([1, 3])])
  const causal = make.op('LessOrEqual', [range, rows])
  const mask = make.op('Unsqueeze', [make.op('Cast', ['attention_mask'], { to: 9 }), make.ints([1, 2])])
  return make.op('And', [causal, mask])
}

function attend(make: Making, [q, keys, values]: readonly [string, string, string], seen: string): string {
  const scores = make.op('Mul', [
    make.op('MatMul', [q, make.op('Transpose', [keys], { perm: [0, 1, 3, 2] })]),
    make.number(1 / Math.sqrt(HEAD_DIM)),
  ])
  const weights = make.op('Softmax', [make.op('Where', [seen, scores, make.number(-1e9)])], { axis: -1 })
  const out = make.op('Transpose', [make.op('MatMul', [weights, values])], { perm: [0, 2, 1, 3] })
  return make.op('Reshape', [out, make.ints([0, 0, WIDTH])])
}

function textInputs(make: Making, positions: boolean): void {
  make.inputs['input_ids'] = tensorType('int64', ['batch_size', 'sequence_length'])
  make.inputs['attention_mask'] = tensorType('int64', ['batch_size', 'total_sequence_length'])
  if (positions) make.inputs['position_ids'] = tensorType('int64', ['batch_size', 'sequence_length'])
}

function cache(make: Making, name: string, kind: string): readonly [past: string, present: string] {
  const past = `past_key_values.${name}.${kind}`
  const present = `present.${name}.${kind}`
  make.inputs[past] = tensorType('float32', ['batch_size', KV_HEADS, 'past_sequence_length', HEAD_DIM])
  make.outputs[present] = tensorType('float32', ['batch_size', KV_HEADS, 'total_sequence_length', HEAD_DIM])
  return [past, present]
}

function head(make: Making, x: string): void {
  make.nodes.push(
    node('MatMul', [norm(make, x, 'head'), make.random('head', [WIDTH, VOCABULARY], 2 / Math.sqrt(WIDTH))], ['logits']),
  )
  make.outputs['logits'] = tensorType('float32', ['batch_size', 'sequence_length', VOCABULARY])
}

const angle = (position: number, pair: number): number => position / 10_000 ** ((2 * pair) / HEAD_DIM)

/** As Optimum exports a Llama: standard operators alone. */
export function llamaLike(layers = 2): Model {
  const make = new Making()
  textInputs(make, true)
  make.outputs['logits'] = tensorType('float32', ['batch_size', 'sequence_length', VOCABULARY])
  const half = HEAD_DIM / 2
  const cosines = make.table('cos', (position, at) => Math.cos(angle(position, at % half)), HEAD_DIM)
  const sines = make.table('sin', (position, at) => Math.sin(angle(position, at % half)), HEAD_DIM)
  const turns = [cosines, sines].map((table) =>
    make.op('Unsqueeze', [make.op('Gather', [table, 'position_ids']), make.ints([1])]),
  ) as [string, string]
  let x = make.op('Gather', [make.random('embedding', [VOCABULARY, WIDTH]), 'input_ids'])
  for (let layer = 0; layer < layers; layer++) {
    const rows = norm(make, x, `l${layer}.attention`)
    const q = rotate(make, split(make, project(make, rows, `l${layer}.q`, WIDTH, WIDTH), HEADS), ...turns)
    const k = rotate(make, split(make, project(make, rows, `l${layer}.k`, WIDTH, KV_WIDTH), KV_HEADS), ...turns)
    const v = split(make, project(make, rows, `l${layer}.v`, WIDTH, KV_WIDTH), KV_HEADS)
    const both = [k, v].map((fresh, at) => {
      const [past, present] = cache(make, String(layer), at === 0 ? 'key' : 'value')
      make.nodes.push(node('Concat', [past, fresh], [present], { axis: 2 }))
      return make.op('Gather', [present, make.ints([0, 0, 1, 1])], { axis: 1 })
    }) as [string, string]
    const seen = visible(make, 'position_ids', both[0])
    const out = project(make, attend(make, [q, ...both], seen), `l${layer}.o`, WIDTH, WIDTH)
    x = make.op('Add', [x, out])
    x = make.op('Add', [x, feedForward(make, norm(make, x, `l${layer}.ffn`), layer)])
  }
  head(make, x)
  return make.finish()
}

/** As ONNX Runtime's model builder makes one: GroupQueryAttention, which reads lengths from the mask. */
export function groupedLike(layers = 2): Model {
  const make = new Making()
  textInputs(make, false)
  const counted = make.op('ReduceSum', ['attention_mask', make.ints([1])], { keepdims: 0 })
  const lengths = make.op('Cast', [make.op('Sub', [counted, make.ints([1])])], { to: 6 })
  const total = make.op('Cast', [make.op('Gather', [make.op('Shape', ['attention_mask']), make.ints([1], [])])], {
    to: 6,
  })
  const half = HEAD_DIM / 2
  const cosines = make.table('cos', (position, at) => Math.cos(angle(position, at)), half)
  const sines = make.table('sin', (position, at) => Math.sin(angle(position, at)), half)
  let x = make.op('Gather', [make.random('embedding', [VOCABULARY, WIDTH]), 'input_ids'])
  for (let layer = 0; layer < layers; layer++) {
    const rows = norm(make, x, `l${layer}.attention`)
    const q = project(make, rows, `l${layer}.q`, WIDTH, WIDTH)
    const k = project(make, rows, `l${layer}.k`, WIDTH, KV_WIDTH)
    const v = project(make, rows, `l${layer}.v`, WIDTH, KV_WIDTH)
    const [[pastKey, key], [pastValue, value]] = [
      cache(make, String(layer), 'key'),
      cache(make, String(layer), 'value'),
    ]
    const attributes = { num_heads: HEADS, kv_num_heads: KV_HEADS, do_rotary: 1 }
    const inputs = [q, k, v, pastKey, pastValue, lengths, total, cosines, sines]
    const out = `l${layer}.attended`
    make.nodes.push(node('GroupQueryAttention', inputs, [out, key, value], attributes, 'com.microsoft'))
    x = make.op('Add', [x, project(make, out, `l${layer}.o`, WIDTH, WIDTH)])
    x = make.op('Add', [x, feedForward(make, norm(make, x, `l${layer}.ffn`), layer)])
  }
  head(make, x)
  return make.finish()
}

/** As GPT-2 was exported first: keys and values in one cache a layer, learned positions. */
export function gpt2Like(layers = 2): Model {
  const make = new Making()
  textInputs(make, true)
  const places = make.op('Gather', [make.random('positions', [CONTEXT, WIDTH], 0.5), 'position_ids'])
  let x = make.op('Add', [make.op('Gather', [make.random('embedding', [VOCABULARY, WIDTH]), 'input_ids']), places])
  for (let layer = 0; layer < layers; layer++) {
    const [past, present] = [`past_${layer}`, `present_${layer}`]
    make.inputs[past] = tensorType('float32', [2, 'batch_size', HEADS, 'past_sequence_length', HEAD_DIM])
    make.outputs[present] = tensorType('float32', [2, 'batch_size', HEADS, 'total_sequence_length', HEAD_DIM])
    const rows = norm(make, x, `l${layer}.attention`)
    const [q, k, v] = ['q', 'k', 'v'].map((name) =>
      split(make, project(make, rows, `l${layer}.${name}`, WIDTH, WIDTH), HEADS),
    ) as [string, string, string]
    const fresh = make.op(
      'Concat',
      [k, v].map((each) => make.op('Unsqueeze', [each, make.ints([0])])),
      { axis: 0 },
    )
    make.nodes.push(node('Concat', [past, fresh], [present], { axis: 3 }))
    const both = [0, 1].map((at) => make.op('Gather', [present, make.ints([at], [])], { axis: 0 })) as [string, string]
    const seen = visible(make, 'position_ids', both[0])
    x = make.op('Add', [x, project(make, attend(make, [q, ...both], seen), `l${layer}.o`, WIDTH, WIDTH)])
    x = make.op('Add', [x, feedForward(make, norm(make, x, `l${layer}.ffn`), layer)])
  }
  head(make, x)
  return make.finish()
}

/** The model in `onnx/`, tokenizer and configuration above it. @returns the folder */
export async function writeDecoderFolder(path: string, made: Model): Promise<string> {
  await mkdir(join(path, 'onnx'), { recursive: true })
  await writeModel(made, join(path, 'onnx', 'model.onnx'))
  await writeFile(join(path, 'tokenizer.json'), JSON.stringify(TOKENIZER))
  await writeFile(
    join(path, 'config.json'),
    JSON.stringify({ model_type: 'llama', vocab_size: VOCABULARY, max_position_embeddings: CONTEXT, eos_token_id: 2 }),
  )
  return path
}
