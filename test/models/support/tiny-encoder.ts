/** A small encoder of BERT's kind, made here: one layer of random weights, and the folder that exporters write for it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model, ValueType } from '../../../src/onnx/ir/index.ts'
import { floats, int64s, model, node, tensorType } from '../../onnx/cut/support/build.ts'

export const WIDTH = 16
export const CONTEXT = 24

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
const LETTERS = Array.from('abcdefghijklmnopqrstuvwxyz0123456789.,!?')
export const VOCABULARY = [
  ...SPECIAL,
  ...LETTERS,
  ...LETTERS.map((letter) => `##${letter}`),
  ...['the', 'sea', 'ocean', 'is', 'blue', 'dog', '##s', '##ing', 'swim', '\u4f60'].filter((text) => text !== '##s'),
]

export interface EncoderInit {
  /** @default false */
  readonly types?: boolean
  /** @default false */
  readonly positions?: boolean
  /** The model gives one vector itself. @default false */
  readonly pooled?: boolean
  /** Tokens that each text is padded to. @default any number */
  readonly fixed?: number
  /** @default 'int64' */
  readonly integers?: 'int64' | 'int32'
}

function random(name: string, dims: readonly number[]): ReturnType<typeof floats> {
  const count = dims.reduce((product, dim) => product * dim, 1)
  let state = Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7)
  const values = Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 31 - 1
  })
  return floats(name, dims, values)
}

export function encoderModel(init: EncoderInit = {}): Model {
  const { types = false, positions = false, pooled = false, fixed, integers = 'int64' } = init
  const ids = tensorType(integers, ['batch', fixed ?? 'tokens'])
  const inputs: Record<string, ValueType> = { input_ids: ids, attention_mask: ids }
  if (types) inputs['token_type_ids'] = ids
  if (positions) inputs['position_ids'] = ids
  const rows = tensorType('float32', ['batch', fixed ?? 'tokens', WIDTH])
  const outputs: Record<string, ValueType> = { last_hidden_state: rows }
  if (pooled) outputs['sentence_embedding'] = tensorType('float32', ['batch', WIDTH])
  const place = positions
    ? [node('Gather', ['places', 'position_ids'], ['place'])]
    : [
        node('Shape', ['input_ids'], ['shape']),
        node('Gather', ['shape', 'one'], ['length'], { axis: 0 }),
        node('Range', ['zero', 'length', 'step'], ['range']),
        node('Gather', ['places', 'range'], ['place']),
      ]
  const kind = types ? [node('Gather', ['kinds', 'token_type_ids'], ['kind']), node('Add', ['sum', 'kind'], ['e'])] : []
  return model({
    nodes: [
      node('Gather', ['words', 'input_ids'], ['word']),
      ...place,
      node('Add', ['word', 'place'], [types ? 'sum' : 'e']),
      ...kind,
      ...['q', 'k', 'v'].map((name) => node('MatMul', ['e', `w${name}`], [name])),
      node('Transpose', ['k'], ['kt'], { perm: [0, 2, 1] }),
      node('MatMul', ['q', 'kt'], ['scores']),
      node('Cast', ['attention_mask'], ['mask'], { to: 1 }),
      node('Sub', ['mask', 'ones'], ['gone']),
      node('Mul', ['gone', 'large'], ['far']),
      node('Unsqueeze', ['far', 'axis'], ['bias']),
      node('Add', ['scores', 'bias'], ['masked']),
      node('Softmax', ['masked'], ['weights'], { axis: -1 }),
      node('MatMul', ['weights', 'v'], ['mixed']),
      node('Add', ['e', 'mixed'], ['r']),
      node('LayerNormalization', ['r', 'scale', 'shift'], ['n'], { axis: -1 }),
      node('MatMul', ['n', 'up'], ['u']),
      node('Tanh', ['u'], ['t']),
      node('MatMul', ['t', 'down'], ['d']),
      node('Add', ['n', 'd'], ['last_hidden_state']),
      ...(pooled ? [node('ReduceMean', ['last_hidden_state', 'axis'], ['sentence_embedding'], { keepdims: 0 })] : []),
    ],
    inputs,
    outputs,
    initializers: [
      random('words', [VOCABULARY.length, WIDTH]),
      random('places', [64, WIDTH]),
      random('kinds', [2, WIDTH]),
      ...['wq', 'wk', 'wv'].map((name) => random(name, [WIDTH, WIDTH])),
      random('up', [WIDTH, 4 * WIDTH]),
      random('down', [4 * WIDTH, WIDTH]),
      random('scale', [WIDTH]),
      random('shift', [WIDTH]),
      floats('ones', [], [1]),
      floats('large', [], [1e9]),
      int64s('zero', [0], []),
      int64s('one', [1], []),
      int64s('step', [1], []),
      int64s('axis', [1]),
    ],
  })
}

export function bertTokenizer(): object {
  const added = SPECIAL.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }))
  const around = (id: string): object => ({ SpecialToken: { id, type_id: 0 } })
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [around('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, around('[SEP]')],
      pair: [],
      special_tokens: {},
    },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(VOCABULARY.map((text, id) => [text, id])),
    },
  }
}

export interface EncoderFolder extends EncoderInit {
  /** Where the ONNX file lies. @default 'model.onnx' */
  readonly file?: string
  /** Further files by name, or null: left out. */
  readonly files?: Readonly<Record<string, object | null>>
}

/** @returns the path */
export async function writeEncoderFolder(path: string, init: EncoderFolder = {}): Promise<string> {
  const { file = 'model.onnx', files = {} } = init
  mkdirSync(join(path, '1_Pooling'), { recursive: true })
  if (file.includes('/')) mkdirSync(join(path, file, '..'), { recursive: true })
  await writeModel(encoderModel(init), join(path, file))
  const all: Record<string, object | null> = {
    'config.json': {
      model_type: 'bert',
      hidden_size: WIDTH,
      max_position_embeddings: 64,
      vocab_size: VOCABULARY.length,
    },
    'tokenizer.json': bertTokenizer(),
    'tokenizer_config.json': { model_max_length: 32, cls_token: '[CLS]', sep_token: '[SEP]', pad_token: '[PAD]' },
    'sentence_bert_config.json': { max_seq_length: CONTEXT },
    'modules.json': [
      { idx: 0, type: 'sentence_transformers.models.Transformer', path: '' },
      { idx: 1, type: 'sentence_transformers.models.Pooling', path: '1_Pooling' },
      { idx: 2, type: 'sentence_transformers.models.Normalize', path: '2_Normalize' },
    ],
    '1_Pooling/config.json': { pooling_mode_cls_token: false, pooling_mode_mean_tokens: true },
    ...files,
  }
  for (const [name, content] of Object.entries(all)) {
    if (content !== null) writeFileSync(join(path, name), JSON.stringify(content))
  }
  return path
}
