/** Verbs about training, as data. */
import type { CommandSpec } from './option-types.ts'
import { LOCAL } from './options.ts'

export const TRAINING_VERBS: readonly CommandSpec[] = [
  {
    verb: 'train',
    group: 'models',
    summary: 'train a model as a plan says',
    arguments: [{ label: 'PLAN', required: true, offers: 'files' }],
    options: [
      {
        name: 'out',
        short: 'o',
        value: { label: 'DIR', kind: 'file' },
        help: 'folder of the run, new or empty (default: the name of the plan)',
      },
      { name: 'resume', help: 'go on with the run of the folder, from its last checkpoint' },
      {
        name: 'seed',
        value: { label: 'N', kind: 'whole', min: 0, max: Number.MAX_SAFE_INTEGER },
        help: 'in place of the seed of the plan: equal seeds give equal bits on one machine',
      },
      {
        name: 'threads',
        value: { label: 'N', kind: 'whole', min: 1, max: 1024 },
        help: 'threads (default: all cores)',
      },
      {
        name: 'placement',
        value: { label: 'FILE|auto|local', kind: 'file' },
        repeat: true,
        help: 'of an adapter: where the layers of its model are computed (default: in this process); auto is the placement that stands; several share the micro-batches of a step',
      },
      {
        name: 'peer',
        value: { label: 'PEER', kind: 'text' },
        repeat: true,
        help: 'of any other plan: who computes the gradients of a step\'s batches ("accumulate"), this peer too where it is named or `origin`; several share them, with the bits of one process',
      },
      LOCAL,
    ],
    notes: [
      'PLAN: a JSON file; docs/training.md has one for each task. The folder gets model.onnx, which weft import, split and ' +
        'infer take, curve.json, curve.svg and curve.png, checkpoints, and result.json.',
    ],
    examples: [
      'weft train heart.json --out heart',
      'weft train heart.json --out heart --resume',
      'weft train heart.json --out heart --peer anna --peer bert',
    ],
  },
  {
    verb: 'adapter',
    group: 'models',
    summary: 'adapters of language models: bring in, list, remove, merge, export',
    arguments: [
      { label: 'ACTION', required: true, choices: ['add', 'ls', 'rm', 'merge', 'export'] },
      { label: 'FOLDER|NAME', offers: 'files' },
    ],
    options: [
      { name: 'model', short: 'm', value: { label: 'MODEL', kind: 'text' }, help: 'the model that the adapter is for' },
      {
        name: 'name',
        value: { label: 'NAME', kind: 'text' },
        help: 'of add: how it is asked for (default: the name of the folder); of merge: the new model',
      },
      { name: 'out', short: 'o', value: { label: 'FILE', kind: 'file' }, help: 'of export: the GGUF file to write' },
      {
        name: 'weights',
        value: { label: 'FORMAT', kind: 'text', choices: ['auto', 'q4', 'int8', 'f16', 'f32'] },
        help: 'of merge: how the layers with the adapter are held (default: as those of the model); f32 rounds nothing',
      },
    ],
    notes: [
      'FOLDER has adapter_config.json and adapter_model.safetensors, as weft train and the PEFT library write them; add also takes the ' +
        'GGUF file of a low-rank adapter, which export writes. ' +
        'An adapter that was added is asked for as MODEL:NAME, by weft run and over HTTP. `weft adapter merge` makes a ' +
        'model of its own, with the adapter in its weights.',
    ],
    examples: [
      'weft adapter add loud --model weft-tiny',
      'weft run weft-tiny "The sea" --adapter loud',
      'weft adapter merge loud --model weft-tiny --name weft-loud',
    ],
  },
  {
    verb: 'eval',
    group: 'models',
    summary: 'metrics of a trained model, on its own examples or others',
    arguments: [{ label: 'DIR|MODEL', required: true, offers: 'files' }],
    options: [
      {
        name: 'data',
        value: { label: 'FILE', kind: 'file' },
        repeat: true,
        help: 'other files of the same kind, all their rows; for idx the images, then the labels',
      },
      {
        name: 'part',
        value: { label: 'PART', kind: 'text', choices: ['train', 'validation', 'test'] },
        help: 'of the examples of the plan: train, validation or test (default test)',
      },
      { name: 'plan', value: { label: 'PLAN', kind: 'file' }, help: 'the plan (default: plan.json beside the model)' },
      {
        name: 'threads',
        value: { label: 'N', kind: 'whole', min: 1, max: 1024 },
        help: 'threads (default: all cores)',
      },
    ],
    examples: ['weft eval heart', 'weft eval heart --data new-patients.csv --json'],
  },
]
