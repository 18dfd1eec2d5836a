/** The verbs of a site that answers for its data: policy, audit log, backup. */
import type { CommandSpec, OptionSpec } from './option-types.ts'

export const PASSPHRASE_FILE: OptionSpec = {
  name: 'passphrase-file',
  value: { label: 'FILE', kind: 'file' },
  help: 'holds the passphrase (else $WEFT_PASSPHRASE_FILE, else a systemd credential, else it is asked for)',
}

export const SITE_VERBS: readonly CommandSpec[] = [
  {
    verb: 'policy',
    group: 'peers',
    summary: 'what this site allows others, and what may leave it',
    arguments: [
      { label: 'ACTION', required: true, choices: ['check', 'test', 'apply', 'explain', 'remove'] },
      { label: 'FILE|PEER', offers: 'files' },
    ],
    options: [
      {
        name: 'policy',
        value: { label: 'FILE', kind: 'file' },
        help: 'test: against this one, in place of the one in force',
      },
      PASSPHRASE_FILE,
    ],
    notes: [
      'The policy of a home is its file policy.json (docs/policy.md). Without one everything is allowed; with one, only what a ' +
        'rule allows. A running peer takes up a change within a second; a file with a mistake changes nothing.',
      'test prints what is decided of REQUEST.json and by which rule, and ends with status 5 where it is denied.',
    ],
    examples: [
      'weft policy check draft.json',
      'weft policy apply policy.json',
      'weft policy test request.json',
      'weft policy explain 12D3KooW...',
    ],
  },
  {
    verb: 'audit',
    group: 'peers',
    summary: 'the audit log: who did what here, and whether it was touched',
    arguments: [
      { label: 'ACTION', choices: ['tail', 'verify', 'export', 'prove'] },
      { label: 'FILE|SEQ', offers: 'files' },
    ],
    options: [
      {
        name: 'lines',
        short: 'n',
        value: { label: 'N', kind: 'whole', min: 0, max: 1_000_000 },
        help: 'tail: the last N (default 50, 0 all)',
      },
      {
        name: 'what',
        value: { label: 'WHAT', kind: 'text' },
        help: 'tail: only these, e.g. decision, session, policy.force',
      },
      { name: 'out', short: 'o', value: { label: 'FILE', kind: 'file' }, help: 'export, prove: where to write it' },
      PASSPHRASE_FILE,
    ],
    notes: [
      'verify holds every entry against its hash and its signature, and against what other peers remember of this log. With a ' +
        'FILE that another site exported, it is held against what this home has seen of that site.',
      'prove writes one entry, with what shows that it is in the log, and nothing of the others but their times.',
    ],
    examples: [
      'weft audit tail',
      'weft audit verify',
      'weft audit export -o audit.jsonl',
      'weft audit prove 17 -o 17.jsonl',
    ],
  },
  {
    verb: 'backup',
    group: 'peers',
    summary: 'keys, policy, ledger, audit log, manifests and adapters, encrypted, in a folder',
    arguments: [
      {
        label: 'ACTION',
        required: true,
        choices: ['create', 'verify', 'restore', 'ls', 'send', 'fetch', 'keep', 'kept'],
      },
      { label: 'SNAPSHOT|PEER', offers: 'peers' },
    ],
    options: [
      {
        name: 'to',
        value: { label: 'DIR', kind: 'file' },
        help: 'create, fetch: the folder (create: that of the last one)',
      },
      {
        name: 'from',
        value: { label: 'DIR|PEER', kind: 'file' },
        help: 'verify, restore, ls, send: the folder; fetch: the peer',
      },
      { name: 'of', value: { label: 'PEER', kind: 'text' }, help: 'fetch: the id of a peer that was lost' },
      {
        name: 'limit',
        value: { label: 'SIZE', kind: 'size', min: 0 },
        help: 'keep: room for this peer (default 1GB; 0: nothing more)',
      },
      PASSPHRASE_FILE,
    ],
    notes: [
      'One passphrase opens a folder, the one that it was begun with. restore takes the newest backup where none is named, into ' +
        'an empty home or over the same peer; it never takes a ledger or an audit log back behind where they are.',
      'send takes the folder to a peer where somebody has said keep; fetch brings it back. What is kept there is sealed, and ' +
        'cannot be changed or removed over the network.',
      'Where the device itself is lost: weft join on another one with a new invite, weft up, and fetch there asks for the ' +
        'passphrase of the backup, which proves whose it is and stays here. Then restore into an empty home (--home).',
      'What of the home is in no backup is named (--json: omitted); create ends with status 10 where it should have been in it.',
    ],
    examples: [
      'weft backup create --to /media/usb/weft --passphrase-file secret',
      'weft backup verify --from /media/usb/weft --passphrase-file secret',
      'weft backup restore --from /media/usb/weft --passphrase-file key --home home',
      'weft backup keep basil-owl --limit 2GB',
      'weft backup send kitchen',
      'weft backup fetch kitchen --to lost --passphrase-file secret',
    ],
  },
]
