/** Options that more than one verb takes, declared once. */
import type { OptionSpec } from './option-types.ts'

/** Accepted by every verb, before or after it. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'home',
    value: { label: 'DIR', kind: 'file' },
    help: 'the mesh home (else $WEFT_HOME, else the XDG data folder)',
  },
  { name: 'json', help: 'print one JSON document on stdout' },
  { name: 'jsonl', help: 'print JSON, one document a line, as it comes' },
  { name: 'quiet', short: 'q', help: 'no progress and no notes' },
  { name: 'verbose', short: 'v', help: 'stack traces and details of failures' },
  { name: 'no-color', help: 'no colours (so does $NO_COLOR)' },
  { name: 'help', short: 'h', help: 'help for this command' },
]

export const LOCAL: OptionSpec = { name: 'local', help: 'work in this process, without the running peer' }

export const TIMEOUT: OptionSpec = {
  name: 'timeout',
  value: { label: 'TIME', kind: 'duration', min: 1, max: 86_400_000 },
  help: 'give up after this long, e.g. 30s or 5m',
}

export const WIDE: OptionSpec = { name: 'wide', help: 'more columns, nothing shortened' }

export const PLACEMENT: OptionSpec = {
  name: 'placement',
  value: { label: 'FILE|auto|local', kind: 'file' },
  help: 'where the blocks are computed: a JSON file, or weft chooses, or here',
}

export const AUDIT: readonly OptionSpec[] = [
  {
    name: 'audit',
    value: { label: 'MODE', kind: 'text', choices: ['off', 'sample', 'hold'] },
    help: 'check what others compute: not, by chance, or before a word is shown (default: as weft up says, off)',
  },
  {
    name: 'audit-rate',
    value: { label: 'SHARE', kind: 'number', min: 0, max: 1 },
    help: 'of sample: chance of a row that a check follows it (default 0.05)',
  },
]

export const SPECULATE: readonly OptionSpec[] = [
  {
    name: 'speculate',
    value: { label: 'MODE', kind: 'text', choices: ['auto', 'off', 'lookup', 'draft'] },
    help: 'guess tokens, out of the text or by a small model, and check several at once; the same text (default auto: where it is faster)',
  },
  {
    name: 'draft',
    value: { label: 'MODEL', kind: 'text' },
    help: 'the small model that guesses: of the same vocabulary, on the peer that is asked; off: none (default: one that is there)',
  },
]

export const LANE: OptionSpec = {
  name: 'lane',
  value: { label: 'LANE', kind: 'text', choices: ['interactive', 'batch'] },
  help: 'batch: work that nobody waits for, which yields to others; the same text',
}

export const SAMPLING: readonly OptionSpec[] = [
  {
    name: 'max-tokens',
    short: 'n',
    value: { label: 'N', kind: 'whole', min: 1, max: 1 << 20 },
    help: 'stop after N tokens',
  },
  {
    name: 'temperature',
    value: { label: 'T', kind: 'number', min: 0, max: 100 },
    help: '0 is greedy, the same answer each time (default 0.7)',
  },
  {
    name: 'top-p',
    value: { label: 'P', kind: 'number', min: 0, max: 1 },
    help: 'keep the likeliest tokens up to this sum (default 0.95)',
  },
  {
    name: 'top-k',
    value: { label: 'K', kind: 'whole', min: 0, max: 1_000_000 },
    help: 'keep the K likeliest tokens, 0 all (default 40)',
  },
  {
    name: 'min-p',
    value: { label: 'P', kind: 'number', min: 0, max: 1 },
    help: 'drop tokens below this share of the likeliest (default 0)',
  },
  {
    name: 'repeat-penalty',
    value: { label: 'X', kind: 'number', min: 0.01, max: 100 },
    help: 'above 1, tokens that were seen become less likely (default 1)',
  },
  {
    name: 'seed',
    value: { label: 'S', kind: 'seed' },
    help: 'the same seed gives the same answer (default: a random one)',
  },
  {
    name: 'schema',
    value: { label: 'FILE|json', kind: 'text' },
    help: 'the answer is JSON that this JSON Schema allows; json: any object',
  },
  {
    name: 'system',
    value: { label: 'TEXT', kind: 'text' },
    help: 'the system message of the chat',
  },
]
