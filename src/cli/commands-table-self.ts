/** The verbs that diagnose, and those about weft itself. */
import type { CommandSpec } from './option-types.ts'
import { LOCAL } from './options.ts'
import { PEER_OPTIONS } from './peer-options.ts'

const VECTOR_SUITES = [
  'aggregate',
  'clip',
  'dp-distributed',
  'dp-gauss',
  'dp-pld',
  'dp-rdp',
  'dp-sampler',
  'frame',
  'gradient',
  'quantize',
  'secagg',
  'shamir',
  'tokenizer',
  'weights',
] as const

export const SELF_VERBS: readonly CommandSpec[] = [
  {
    verb: 'doctor',
    group: 'diagnose',
    everyday: true,
    summary: 'check this machine and say how to fix what is wrong',
    arguments: [],
    options: [{ name: 'security', help: 'check what a site answers for: keys, policy, audit log, backup, exposure' }],
  },
  {
    verb: 'trace',
    group: 'diagnose',
    summary: 'where the time of an answer went, stage by stage',
    arguments: [{ label: 'REQUEST' }],
    options: [
      { name: 'list', help: 'the answers that can be shown' },
      {
        name: 'step',
        value: { label: 'N', kind: 'whole', min: 0, max: 1_000_000 },
        help: 'one step instead of the mean',
      },
    ],
    notes: [
      'REQUEST is as --list, weft run --json (stats.request) and the API (weft.request) name it; without one, the last answer.',
      'wire: from one peer to the next; queue: in the stage process, behind other rows; serialize: in the peer around it.',
    ],
    examples: ['weft trace', 'weft trace r7 --step 12', 'weft trace --list'],
  },
  {
    verb: 'logs',
    group: 'diagnose',
    summary: 'what this peer wrote down',
    arguments: [],
    options: [
      { name: 'follow', short: 'f', help: 'go on as lines are written' },
      {
        name: 'level',
        value: { label: 'LEVEL', kind: 'text', choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] },
        help: 'only this level and above',
      },
      {
        name: 'lines',
        short: 'n',
        value: { label: 'N', kind: 'whole', min: 0, max: 1_000_000 },
        help: 'the last N (default 200)',
      },
    ],
  },
  {
    verb: 'bugreport',
    group: 'diagnose',
    summary: 'versions, state and logs in one file, without prompts or keys',
    arguments: [{ label: 'NOTE' }],
    options: [{ name: 'out', short: 'o', value: { label: 'FILE', kind: 'file' }, help: 'where to write it' }],
  },
  {
    verb: 'vectors',
    group: 'diagnose',
    summary: "run one of weft's algorithms on given inputs",
    arguments: [{ label: 'SUITE', required: true, words: VECTOR_SUITES }],
    options: [
      { name: 'in', value: { label: 'FILE', kind: 'file' }, help: 'the inputs; for gradient: an ONNX model' },
      { name: 'inputs', value: { label: 'X.npz', kind: 'file' }, help: 'gradient: arrays by name of input' },
      { name: 'loss', value: { label: 'OUTPUT', kind: 'text' }, help: 'gradient: the value that is differentiated' },
      { name: 'out', value: { label: 'G.npz', kind: 'file' }, help: 'gradient: where the gradients are written' },
      { ...LOCAL, help: 'as always: no running peer is asked' },
    ],
    notes: [`Suites: ${VECTOR_SUITES.join(', ')}. docs/vectors.md has their formats.`],
  },
  {
    verb: 'capabilities',
    group: 'diagnose',
    summary: 'what weft claims, each with the command that shows it',
    arguments: [{ label: 'ROW', rest: true }],
    options: [{ name: 'check', help: 'run those commands, and say which hold' }],
  },
  {
    verb: 'service',
    group: 'self',
    summary: 'start weft with the machine (systemd)',
    arguments: [{ label: 'ACTION', required: true, choices: ['install', 'uninstall'] }],
    options: [
      { name: 'user', help: 'for this user (default)' },
      { name: 'system', help: 'for the machine; needs root' },
      { name: 'dry-run', help: 'print the unit, write nothing' },
      ...PEER_OPTIONS,
    ],
    notes: ['What weft up takes stands in the unit, and holds whenever the service starts.'],
    examples: ['weft service install', 'weft service install --network-key mesh.key --memory 4GB --lan off'],
  },
  {
    verb: 'completion',
    group: 'self',
    summary: 'a completion script for your shell',
    arguments: [{ label: 'SHELL', required: true, choices: ['bash', 'zsh', 'fish'] }],
    options: [],
    examples: ['source <(weft completion bash)'],
  },
  {
    verb: 'version',
    group: 'self',
    summary: 'version of weft and of what it runs on',
    arguments: [],
    options: [],
  },
  {
    verb: 'help',
    group: 'self',
    everyday: true,
    summary: 'help for a command; `weft help errors CODE` explains an error',
    arguments: [{ label: 'VERB', offers: 'verbs' }, { label: 'CODE' }],
    options: [],
  },
  {
    verb: 'complete',
    group: 'self',
    hidden: true,
    summary: 'words for completion scripts',
    arguments: [{ label: 'WHAT', required: true, choices: ['models', 'peers', 'codes'] }],
    options: [],
  },
]
