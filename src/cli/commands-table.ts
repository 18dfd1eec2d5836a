/** Every verb of weft, as data. `main` runs commands/<verb>.ts; help and completion read this table alone. */
import type { CommandSpec } from './option-types.ts'
import { AUDIT, LANE, LOCAL, PLACEMENT, SAMPLING, SPECULATE, TIMEOUT, WIDE } from './options.ts'
import { PEER_OPTIONS } from './peer-options.ts'
import { CLUSTER_VERBS } from './commands-table-cluster.ts'
import { MODEL_VERBS } from './commands-table-models.ts'
import { SELF_VERBS } from './commands-table-self.ts'
import { FEDERATED_VERBS } from './commands-table-federated.ts'
import { PASSPHRASE_FILE, SITE_VERBS } from './commands-table-site.ts'
import { TRAINING_VERBS } from './commands-table-training.ts'

const EVERYDAY_VERBS: readonly CommandSpec[] = [
  {
    verb: 'up',
    group: 'everyday',
    everyday: true,
    summary: 'start this peer and join the mesh',
    arguments: [],
    options: [
      ...PEER_OPTIONS,
      { name: 'foreground', help: 'stay in this terminal until Ctrl-C (default)' },
      { name: 'detach', help: 'go on in the background, and return when ready' },
      { name: 'while-stdin', help: 'stop when standard input ends: for programs that start peers' },
      TIMEOUT,
    ],
    notes: [
      'An open LAN means that strangers on this network may be asked to compute for you, and you for them, within ' +
        'limits. Use --lan confirm or --lan off, or a network key, where that must not be.',
    ],
    examples: [
      'weft up',
      'weft up --detach --memory 4GB',
      'weft up --lan off --bootstrap /ip4/192.0.2.7/tcp/7334/p2p/ID',
    ],
  },
  {
    verb: 'down',
    group: 'everyday',
    everyday: true,
    summary: 'stop this peer when its answers are finished',
    arguments: [],
    options: [
      {
        name: 'drain',
        value: { label: 'TIME', kind: 'duration', min: 0, max: 3_600_000 },
        help: 'wait this long for answers in flight (default 30s)',
      },
    ],
  },
  {
    verb: 'status',
    group: 'everyday',
    everyday: true,
    summary: 'am I up, who else is, what is served, what is wrong',
    arguments: [],
    options: [WIDE],
  },
  {
    verb: 'run',
    group: 'everyday',
    everyday: true,
    summary: 'answer a prompt',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }, { label: 'PROMPT|-' }],
    options: [
      ...SAMPLING,
      { name: 'stop', value: { label: 'TEXT', kind: 'text' }, repeat: true, help: 'end the answer before this text' },
      { name: 'raw', help: 'no chat template: the model goes on from the prompt' },
      { name: 'special', help: 'with --raw, which it implies: read <|…|> as control tokens' },
      { name: 'ids', value: { label: '1,2,3', kind: 'list' }, help: 'token ids in place of a prompt' },
      {
        name: 'logprobs',
        value: { label: 'K', kind: 'whole', min: 0, max: 20 },
        help: 'with --json: the K likeliest tokens of each step',
      },
      { name: 'adapter', value: { label: 'NAME', kind: 'text' }, help: 'with this adapter (weft adapter ls)' },
      PLACEMENT,
      ...AUDIT,
      ...SPECULATE,
      LANE,
      { name: 'stats', help: 'times, rates, hops and counters on stderr' },
      LOCAL,
      TIMEOUT,
    ],
    notes: ['The prompt is read from standard input when it is `-`, or when it is missing and something is piped in.'],
    examples: ['weft run smollm2:135m "Why is the sky blue?"', 'weft run smollm2:135m - < letter.txt --max-tokens 200'],
  },
  {
    verb: 'chat',
    group: 'everyday',
    everyday: true,
    summary: 'talk with a model',
    arguments: [{ label: 'MODEL', required: true, offers: 'models' }],
    options: [
      ...SAMPLING,
      PLACEMENT,
      ...AUDIT,
      ...SPECULATE,
      { name: 'stats', help: 'times and rates after each answer' },
      LOCAL,
    ],
    notes: ['/exit leaves, /clear forgets what was said. Ctrl-C stops an answer; at the prompt it leaves.'],
  },
  {
    verb: 'wait',
    group: 'everyday',
    summary: 'block until something is so',
    arguments: [],
    options: [
      {
        name: 'for',
        value: { label: 'WHAT', kind: 'text' },
        help: 'up (default), peers=N (N of them, this one too), model=M (all blocks served)',
      },
      TIMEOUT,
    ],
    examples: ['weft wait --for peers=3 --timeout 30s'],
  },
]

const PEER_VERBS: readonly CommandSpec[] = [
  {
    verb: 'peers',
    group: 'peers',
    everyday: true,
    summary: 'members of the mesh; let newcomers in or keep them out',
    arguments: [
      { label: 'ACTION', choices: ['ls', 'approve', 'deny', 'trust', 'bans', 'unban'] },
      { label: 'PEER', offers: 'peers' },
    ],
    options: [WIDE],
    notes: [
      'trust takes a peer out of quarantine, into which an audit has put it (docs/audit.md).',
      'bans lists who is kept out for a while, why and until when; unban SUBJECT ends one.',
    ],
  },
  {
    verb: 'ping',
    group: 'peers',
    summary: 'round-trip time to a peer over the mesh',
    arguments: [{ label: 'PEER', required: true, offers: 'peers' }],
    options: [
      {
        name: 'count',
        short: 'c',
        value: { label: 'N', kind: 'whole', min: 1, max: 1000 },
        help: 'how many (default 4)',
      },
      {
        name: 'bytes',
        value: { label: 'SIZE', kind: 'size', min: 1, max: 1 << 20 },
        help: 'payload of each (default 64)',
      },
    ],
  },
  {
    verb: 'netcheck',
    group: 'diagnose',
    summary: 'what the network looks like from here, and what to do',
    arguments: [{ label: 'PEER', offers: 'peers' }],
    options: [],
    notes: [
      'Each pair is probed: less than 2 MB and about a second, 24 peers at most, the same one no more than once in 10 s. ' +
        'With PEER only that one.',
    ],
    examples: ['weft netcheck', 'weft netcheck --json'],
  },
  {
    verb: 'key',
    group: 'peers',
    summary: 'keys for the HTTP API; the key of a private mesh; keys at rest',
    arguments: [
      {
        label: 'ACTION',
        required: true,
        choices: ['create', 'list', 'ls', 'revoke', 'id', 'network', 'encrypt', 'decrypt', 'status'],
      },
      { label: 'KEY|FILE', offers: 'files' },
    ],
    options: [
      { name: 'name', value: { label: 'NAME', kind: 'text' }, help: 'what the key is for' },
      {
        name: 'scope',
        value: { label: 'SCOPE', kind: 'text', choices: ['generate', 'read', 'admin'] },
        repeat: true,
        help: 'generate, read or admin (default: generate and read)',
      },
      { name: 'expires', value: { label: 'TIME', kind: 'duration', min: 1000 }, help: 'good for this long, e.g. 720h' },
      PASSPHRASE_FILE,
    ],
    notes: [
      '`weft key id` prints the id of this peer, and makes its identity where it has none: whoever lets it in beforehand asks for it.',
      '`weft key network FILE` makes the key of a private mesh: a new file of mode 0600, never over another. Peers that ' +
        'are started with a copy of it (weft up --network-key FILE) join each other and nobody else.',
      '`weft key encrypt` puts the private keys in keys/ (*.key) under a passphrase: scrypt with N=131072, r=8, p=1, and ' +
        'AES-256-GCM. From then on weft up takes it from --passphrase-file, $WEFT_PASSPHRASE_FILE or a systemd credential named ' +
        'weft-passphrase, and holds it in memory alone.',
    ],
    examples: [
      'weft key create --name chat --expires 720h',
      'weft key network mesh.key',
      'weft key encrypt --passphrase-file secret',
    ],
  },
]

export const COMMANDS: readonly CommandSpec[] = [
  ...EVERYDAY_VERBS,
  ...MODEL_VERBS,
  ...TRAINING_VERBS,
  ...FEDERATED_VERBS,
  ...PEER_VERBS,
  ...CLUSTER_VERBS,
  ...SITE_VERBS,
  ...SELF_VERBS,
]

export function findCommand(verb: string): CommandSpec | undefined {
  return COMMANDS.find((spec) => spec.verb === verb)
}
