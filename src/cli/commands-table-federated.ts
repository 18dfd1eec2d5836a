/** The verb about federated training, as data. */
import type { CommandSpec } from './option-types.ts'

export const FED_ACTIONS = [
  'new',
  'check',
  'create',
  'join',
  'approve',
  'leave',
  'start',
  'status',
  'rounds',
  'log',
  'results',
  'stop',
  'export',
  'audit',
  'rollout',
  'budget',
  'simulate',
] as const

export const FEDERATED_VERBS: readonly CommandSpec[] = [
  {
    verb: 'fed',
    group: 'models',
    summary: 'train and count over sites whose data stays at home',
    arguments: [
      { label: 'ACTION', required: true, choices: FED_ACTIONS },
      { label: 'PLAN|JOB|DIR', offers: 'files' },
      { label: 'STEP' },
    ],
    options: [
      {
        name: 'data',
        value: { label: 'FILE', kind: 'file' },
        repeat: true,
        help: 'check, join: description of the data of this site; simulate: one for each site',
      },
      {
        name: 'out',
        short: 'o',
        value: { label: 'PATH', kind: 'file' },
        help: 'new, export, simulate: where to write',
      },
      {
        name: 'lora',
        value: { label: 'MODEL', kind: 'text' },
        help: 'new: a plan that trains an adapter of this language model',
      },
      {
        name: 'images',
        value: { label: 'FOLDER', kind: 'file' },
        help: 'new: a plan over images like those in this folder of folders, one a class; other inputs: docs/federated.md',
      },
      {
        name: 'trainer',
        value: { label: 'CMD', kind: 'text' },
        help: 'check, join: a program that trains here, as CMD IN.npz OUT.npz: global weights in, update out',
      },
      {
        name: 'cap',
        value: { label: 'EPSILON', kind: 'number', min: 0, max: 1000 },
        help: 'join: what the data may spend over all jobs (default: the plan’s, where none is set)',
      },
      {
        name: 'robust',
        value: { label: 'N', kind: 'whole', min: 1, max: 1000 },
        help: 'new: a plan whose rounds bear so many attackers, by buckets of sites under secure sums',
      },
      {
        name: 'compress',
        value: { label: 'KIND:N', kind: 'text' },
        help: 'new: a plan that sends less of each update: random-k:0.1 (a tenth of the coordinates), low-rank:4 (matrices of rank 4)',
      },
      {
        name: 'buffer',
        value: { label: 'K', kind: 'whole', min: 3, max: 4096 },
        help: 'new: a plan whose rounds begin with the K sites that are ready first; what comes later counts by its age',
      },
      {
        name: 'gossip',
        value: { label: 'N', kind: 'whole', min: 3, max: 64 },
        help: 'new: a plan without a common model: each site has its own, and groups of N mix theirs, each by a secure sum',
      },
      { name: 'analysis', help: 'new: a plan that counts and measures, and trains nothing' },
      { name: 'unapproved', help: 'join: somebody else approves the plan, with weft fed approve' },
      { name: 'hash', value: { label: 'HASH', kind: 'text' }, help: 'join, approve: only if the plan has this hash' },
      { name: 'why', value: { label: 'TEXT', kind: 'text' }, help: 'leave, stop: what the log says' },
      {
        name: 'drop',
        value: { label: 'ROUND:SITE', kind: 'text' },
        repeat: true,
        help: 'simulate: this site says nothing in this round',
      },
      {
        name: 'seed',
        value: { label: 'N', kind: 'whole', min: 0, max: Number.MAX_SAFE_INTEGER },
        help: 'simulate: of all chance (default 0)',
      },
      {
        name: 'clients',
        value: { label: 'N', kind: 'whole', min: 2, max: 100000 },
        help: 'simulate: so many virtual clients on the rows of one file',
      },
      {
        name: 'threads',
        value: { label: 'N', kind: 'whole', min: 1, max: 256 },
        help: 'simulate: over which virtual clients are shared out (default: cores, for 64 clients and more)',
      },
      {
        name: 'skew',
        value: { label: 'ALPHA', kind: 'number', min: 0.001, max: 1000 },
        help: 'simulate: Dirichlet skew of labels over the clients (default: even)',
      },
      {
        name: 'fraction',
        value: { label: 'SHARE', kind: 'number', min: 0, max: 1 },
        help: 'simulate: of the clients that are asked in a round',
      },
      {
        name: 'dropouts',
        value: { label: 'CHANCE', kind: 'number', min: 0, max: 1 },
        help: 'simulate: of a client to say nothing in a round',
      },
      {
        name: 'stragglers',
        value: { label: 'CHANCE', kind: 'number', min: 0, max: 1 },
        help: 'simulate: of a client to be late',
      },
      {
        name: 'attack',
        value: { label: 'KIND:SHARE', kind: 'text' },
        help: 'simulate: sign-flip, random, zeros, alie or nan, by this share of the clients',
      },
      {
        name: 'masks',
        value: { label: 'on|off', kind: 'text', choices: ['on', 'off'] },
        help: 'simulate: real masks, or the same integers without (default: off for virtual clients)',
      },
      {
        name: 'name',
        value: { label: 'NAME@live', kind: 'text' },
        help: 'rollout begin: how requests ask for what serves (default: the name of the plan, @live)',
      },
      {
        name: 'canary',
        value: { label: 'SHARE', kind: 'number', min: 0, max: 1 },
        help: 'rollout begin: of the requests that a round gets while it is tried (default 0.1)',
      },
      {
        name: 'requests',
        value: { label: 'N', kind: 'whole', min: 0, max: 1_000_000 },
        help: 'rollout begin: so many of them decide; 0: the loss alone (default 20)',
      },
      {
        name: 'every',
        value: { label: 'N', kind: 'whole', min: 1, max: 100_000 },
        help: 'rollout begin: try each round of so many, and the last (default 1)',
      },
      {
        name: 'margin',
        value: { label: 'LOSS', kind: 'number', min: 0, max: 1000 },
        help: 'rollout begin: how much higher the loss on held-out records may be (default 0)',
      },
      {
        name: 'tolerance',
        value: { label: 'SHARE', kind: 'number', min: 0, max: 1 },
        help: 'rollout begin: how much higher the share of failed requests may be (default 0.05)',
      },
      {
        name: 'hold',
        value: { label: 'STAGE=TIME', kind: 'text' },
        repeat: true,
        help: 'join: for tests: wait before this message',
      },
      { name: 'record', value: { label: 'DIR', kind: 'file' }, help: 'join, start: for tests: keep each message' },
      {
        name: 'filter',
        value: { label: 'CMD', kind: 'text' },
        help: 'start: for tests: what the aggregator would send goes through this program',
      },
    ],
    notes: [
      'PLAN: a JSON file that all sites agree on; docs/federated.md describes it. Joining is saying yes to the plan: the ' +
        'site carries out this plan and no other. results is for analyses, export for both. audit ' +
        'takes DIR, exports of one or more members. new, check, simulate and audit need no running peer.',
      'STEP of rollout: begin, status (where it is left out), promote, back, end.',
    ],
    examples: [
      'weft fed new -o heart.json',
      'weft fed new --lora smollm2:135m -o notes.json',
      'weft fed new --images scans -o scans.json',
      'weft fed new --robust 1 -o wary.json',
      'weft fed new --compress low-rank:4 -o small.json',
      'weft fed new --buffer 7 -o quick.json',
      'weft fed new --gossip 4 -o gossip.json',
      'weft fed check heart.json --data site-a.json',
      'weft fed create heart.json',
      'weft fed join heart --data site-a.json',
      'weft fed start heart',
      'weft fed status heart',
      'weft fed export heart -o result',
      'weft fed new --analysis -o look.json',
      'weft fed results look',
      'weft fed audit result',
      'weft fed rollout notes begin --name clinic@live --canary 0.2',
      'weft run smollm2:135m "Today" --adapter clinic@live',
    ],
  },
]
