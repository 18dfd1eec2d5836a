/** What a peer can be told when it starts: by `weft up`, and by the service that runs `weft up`. */
import { PASSPHRASE_FILE } from './commands-table-site.ts'
import type { OptionSpec } from './option-types.ts'

export const PEER_OPTIONS: readonly OptionSpec[] = [
  { name: 'name', value: { label: 'NAME', kind: 'text' }, help: 'what others see (default: two words)' },
  {
    name: 'listen',
    value: { label: 'MULTIADDR', kind: 'text' },
    repeat: true,
    help: 'where to listen, e.g. /ip4/0.0.0.0/tcp/7334, or none: dial only',
  },
  {
    name: 'announce',
    value: { label: 'MULTIADDR', kind: 'text' },
    repeat: true,
    help: 'told to others in place of that, e.g. a port that a router forwards',
  },
  {
    name: 'bootstrap',
    value: { label: 'MULTIADDR', kind: 'text' },
    repeat: true,
    help: 'a peer to dial, for other networks than this one',
  },
  { name: 'network', value: { label: 'NAME', kind: 'text' }, help: 'name of the mesh to join' },
  {
    name: 'network-key',
    value: { label: 'FILE', kind: 'file' },
    help: 'only peers with this key get in (weft key network makes one)',
  },
  PASSPHRASE_FILE,
  {
    name: 'max-age',
    value: { label: 'TIME', kind: 'duration', min: 30_000 },
    help: 'in a cluster: refuse all but news when no admin was heard for so long, e.g. 1h (default: never)',
  },
  {
    name: 'lan',
    value: { label: 'MODE', kind: 'text', choices: ['open', 'confirm', 'off'] },
    help: 'peers found on this LAN: join, ask first, or do not look',
  },
  {
    name: 'relay',
    value: { label: 'on|off', kind: 'text', choices: ['on', 'off'] },
    help: 'carry traffic of members that cannot dial each other (default: on, up to 64 pairs)',
  },
  {
    name: 'replan',
    value: { label: 'MODE', kind: 'text', choices: ['on', 'preview', 'off'] },
    help: 'move placements when another is better by more than it costs (on), show it only, or do not look',
  },
  {
    name: 'replan-quiet',
    value: { label: 'SECONDS', kind: 'whole', min: 0, max: 86_400 },
    help: 'for which no placement moves after a change (default: 60)',
  },
  { name: 'memory', value: { label: '2GB', kind: 'size', min: 1 }, help: 'bytes for weights and context' },
  { name: 'disk', value: { label: '20GB', kind: 'size', min: 1 }, help: 'bytes on the disk for models' },
  {
    name: 'upload-limit',
    value: { label: '10MB/s', kind: 'rate', min: 256_000 },
    help: 'bytes a second of models to other peers',
  },
  { name: 'threads', value: { label: 'N', kind: 'whole', min: 1, max: 1024 }, help: 'threads of a stage' },
  { name: 'http', value: { label: 'HOST:PORT|off', kind: 'text' }, help: 'where the API listens' },
  {
    name: 'http-host',
    value: { label: 'NAME', kind: 'text' },
    repeat: true,
    help: 'another name that the API is called by, e.g. that of a proxy before it',
  },
  {
    name: 'cors',
    value: { label: 'ORIGIN', kind: 'text' },
    repeat: true,
    help: 'pages of this origin may call the API, e.g. https://chat.example',
  },
  {
    name: 'draft',
    value: { label: 'MODEL', kind: 'text' },
    help: 'the small model that guesses for answers that name none, where it can; off: none (default: one that fits)',
  },
  {
    name: 'audit',
    value: { label: 'MODE', kind: 'text', choices: ['off', 'sample', 'hold'] },
    help: 'whether what others compute for requests of this peer is checked, where they do not say (default: off)',
  },
  {
    name: 'audit-rate',
    value: { label: 'SHARE', kind: 'number', min: 0, max: 1 },
    help: 'of sample: chance of a row that a check follows it (default: 0.05)',
  },
  {
    name: 'journal',
    help: 'clients get their streamed answers also after a restart; prompts lie on this disk until then, at most a day',
  },
]
