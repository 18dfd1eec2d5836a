/** The verbs of private clusters. */
import { PASSPHRASE_FILE } from './commands-table-site.ts'
import type { CommandSpec, OptionSpec } from './option-types.ts'

const ROLE: OptionSpec = {
  name: 'role',
  value: { label: 'ROLE', kind: 'text', choices: ['admin', 'member', 'site', 'guest', 'device'] },
  help: 'member (default) computes and asks; site also trains with others; guest only asks; device only computes',
}
const SITE: OptionSpec = {
  name: 'site',
  value: { label: 'SITE', kind: 'text' },
  help: 'who answers for it, for people',
}
const OUT: OptionSpec = {
  name: 'out',
  short: 'o',
  value: { label: 'FILE', kind: 'file' },
  help: 'write it there (mode 0600), not to the screen',
}

export const CLUSTER_VERBS: readonly CommandSpec[] = [
  {
    verb: 'cluster',
    group: 'cluster',
    everyday: true,
    summary: 'a private cluster: begin one, see who is in, change who decides',
    arguments: [
      {
        label: 'ACTION',
        required: true,
        choices: ['create', 'show', 'admins', 'sign', 'rotate', 'certificates', 'export', 'recover', 'leave'],
      },
      { label: 'NAME|FILE|PEER|TIME', rest: true },
    ],
    options: [
      {
        name: 'admins',
        value: { label: 'KofN', kind: 'text' },
        help: 'create, admins: K of N admins must sign what changes the admins, e.g. 2of3 (default 1of1)',
      },
      {
        name: 'root',
        value: { label: 'MODE', kind: 'text', choices: ['home', 'offline'] },
        help: 'create: keep the root key in this home (default), or only in --out or on the screen, once',
      },
      {
        name: 'certificates',
        value: { label: 'TIME|off', kind: 'text' },
        help: 'create: refuse members whose certificate no admin has renewed for so long (default 30d; off: nobody is refused)',
      },
      { name: 'root-key', value: { label: 'FILE', kind: 'file' }, help: 'recover: the root key' },
      { name: 'name', value: { label: 'NAME', kind: 'text' }, help: 'create: what others see of this peer' },
      SITE,
      { name: 'verify', help: 'show: read and check the whole log' },
      { name: 'reason', value: { label: 'TEXT', kind: 'text' }, help: 'leave: why' },
      OUT,
      PASSPHRASE_FILE,
    ],
    notes: [
      'create NAME founds a cluster with this peer as its first admin. show says who is in. rotate begins a new group key. ' +
        'leave takes this peer out. export prints the signed log.',
      'admins PEER… makes these members the admins; where several must sign, it writes a proposal (--out), which the ' +
        'others sign with `cluster sign FILE`. certificates TIME|off says how long certificates of members are good for, which ' +
        'admins renew by themselves, and has members refused whose is over. recover --root-key FILE [PEER…] replaces lost admins (default: by this peer).',
    ],
    examples: [
      'weft cluster create northwind --admins 2of3 --root offline --out root.key',
      'weft cluster show',
      'weft cluster admins alice bob carol --admins 2of3 --out change.json',
      'weft cluster sign change.json',
      'weft cluster certificates 24h',
    ],
  },
  {
    verb: 'invite',
    group: 'cluster',
    summary: 'invites to the cluster of this home',
    arguments: [{ label: 'ACTION', required: true, choices: ['create', 'ls', 'rm'] }, { label: 'INVITE' }],
    options: [
      ROLE,
      SITE,
      {
        name: 'expires',
        value: { label: 'TIME', kind: 'duration', min: 1_000, max: 366 * 86_400_000 },
        help: 'good for this long (default 24h)',
      },
      {
        name: 'uses',
        value: { label: 'N', kind: 'whole', min: 1, max: 4_096 },
        help: 'how many peers may join with it (default 1)',
      },
      { name: 'peer', value: { label: 'PEERID', kind: 'text' }, help: 'only this peer may use it' },
      { name: 'approve', help: 'a person has to approve each: weft peers approve' },
      { name: 'offline', help: 'let --peer in now: a file to join with without reaching this peer' },
      { name: 'name', value: { label: 'NAME', kind: 'text' }, help: 'with --offline: what others call it' },
      {
        name: 'address',
        value: { label: 'MULTIADDR', kind: 'text' },
        repeat: true,
        help: 'where the joiner finds this peer (default: where it listens)',
      },
      { name: 'qr', help: 'also as a picture, for the camera of the other device' },
      OUT,
      PASSPHRASE_FILE,
    ],
    notes: [
      'An invite is a secret until it is used: whoever has it may join. It is redeemed at this peer, which must be running. ' +
        'It pins the root key of the cluster, so whoever joins with it believes nobody else.',
      'With --offline this peer need not be reached: the one with that id (weft key id prints it there) is a member from now ' +
        'on, and the file, which is of use to nobody else, has the log that says so.',
    ],
    examples: [
      'weft invite create --site st-marys --out st-marys.invite',
      'weft invite create --role guest --uses 5 --expires 1h',
      'weft invite create --qr',
      'weft invite create --offline --peer 12D3KooW… --out station-4.json',
      'weft invite ls',
    ],
  },
  {
    verb: 'join',
    group: 'cluster',
    summary: 'join a cluster with an invite',
    arguments: [{ label: 'TOKEN|-|FILE', required: true, offers: 'files' }],
    options: [
      { name: 'name', value: { label: 'NAME', kind: 'text' }, help: 'what others see (default: two words)' },
      {
        name: 'timeout',
        value: { label: 'TIME', kind: 'duration', min: 1, max: 86_400_000 },
        help: 'of an invite with approval: wait this long for a person (default 10m)',
      },
      PASSPHRASE_FILE,
    ],
    notes: [
      'With - the invite is read from standard input; an invite among the arguments stands in ps and in the history of ' +
        'the shell. Nothing secret is sent before the other side has proven to be an admin of the cluster. Then: weft up.',
    ],
    examples: ['weft join st-marys.invite', 'weft join - < st-marys.invite'],
  },
  {
    verb: 'revoke',
    group: 'cluster',
    summary: 'remove a member from the cluster, for good',
    arguments: [{ label: 'PEER', required: true, offers: 'peers' }],
    options: [
      { name: 'reason', value: { label: 'TEXT', kind: 'text' }, help: 'stands in the log (required)' },
      { ...OUT, help: 'where several must sign: the proposal' },
      PASSPHRASE_FILE,
    ],
    notes: [
      'Members that are connected cut it off within seconds, others when they next meet one that knows; the group key ' +
        'changes. Its identity never comes back: the device needs a new one, and a new invite.',
    ],
    examples: ['weft revoke basil-owl --reason "laptop lost"'],
  },
]
