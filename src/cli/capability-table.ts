/** What this version claims. Each row names the command that shows it, and what must be seen. */

export interface Capability {
  readonly id: string
  readonly claim: string
  /** argv after `weft`. `DIR` stands for an empty folder, `PEER` for a connected peer. */
  readonly show: readonly string[]
  /** `nothing`: runs in a home of its own. `peer`: this home's peer runs. `mesh`: it has company. */
  readonly needs: 'nothing' | 'peer' | 'mesh'
  readonly status: number
  /** A pattern of stdout. */
  readonly sees: string
  /** The command is run twice, and these fields of its JSON must be the same. */
  readonly same?: readonly string[]
}

/** Comes with weft, so that something answers with no network at all. */
const EMBEDDED = 'weft-tiny'
const GREEDY = [
  'run',
  EMBEDDED,
  'Once upon a time',
  '--raw',
  '--temperature',
  '0',
  '--max-tokens',
  '8',
  '--local',
  '--json',
]
const SEEDED = [
  'run',
  EMBEDDED,
  'Once upon a time',
  '--raw',
  '--temperature',
  '0.9',
  '--seed',
  '7',
  '--max-tokens',
  '8',
]

export const CAPABILITIES: readonly Capability[] = [
  {
    id: 'usage',
    claim: 'wrong usage is one coded line and status 2',
    show: ['status', '--frobnicate', '--json'],
    needs: 'nothing',
    status: 2,
    sees: '"code":"WEFT-CLI-002"',
  },
  {
    id: 'not-running',
    claim: 'a command that needs a peer and finds none says so with status 3',
    show: ['status', '--json'],
    needs: 'nothing',
    status: 3,
    sees: '"schema":"weft.error/1"',
  },
  {
    id: 'explain',
    claim: 'every error code can be explained',
    show: ['help', 'errors', 'WEFT-CLI-010', '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"code":"WEFT-CLI-010"',
  },
  {
    id: 'doctor',
    claim: 'the machine is checked, and every finding says how to fix it',
    show: ['doctor', '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"id":"engine"',
  },
  {
    id: 'bugreport',
    claim: 'a bug report is one file without prompts or keys',
    show: ['bugreport', '--out', 'DIR/report.json', '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"schema":"weft.bugreport-file/1"',
  },
  {
    id: 'service',
    claim: 'a systemd unit can be written',
    show: ['service', 'install', '--dry-run'],
    needs: 'nothing',
    status: 0,
    sees: 'ExecStart=',
  },
  {
    id: 'completion',
    claim: 'shells complete verbs, options, models and peers',
    show: ['completion', 'bash'],
    needs: 'nothing',
    status: 0,
    sees: 'complete -o default -F _weft weft',
  },
  {
    id: 'alone',
    claim: 'a model answers on one machine, with no peer and no network',
    show: GREEDY,
    needs: 'nothing',
    status: 0,
    sees: '"schema":"weft.completion/1"',
  },
  {
    id: 'plan',
    claim: 'a placement is planned and explained, also over peers that are not there',
    show: ['plan', EMBEDDED, '--local', '--what-if', 'add:pi=pi5', '--explain', '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"schema":"weft.plan/1".*"advice":',
  },
  {
    id: 'greedy',
    claim: 'temperature 0 gives the same tokens each time',
    show: GREEDY,
    needs: 'nothing',
    status: 0,
    sees: '"ids":\\[\\d',
    same: ['ids', 'text'],
  },
  {
    id: 'seeded',
    claim: 'a seed gives the same tokens each time',
    show: [...SEEDED, '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"ids":\\[\\d',
    same: ['ids', 'text'],
  },
  {
    id: 'split',
    claim: 'a model is cut into runnable files, and split equals whole bit for bit',
    show: ['split', EMBEDDED, '--parts', '2', '--out', 'DIR/parts', '--check', '--json'],
    needs: 'nothing',
    status: 0,
    sees: '"schema":"weft.split/1"',
  },
  {
    id: 'status',
    claim: 'a peer says who it is, whom it knows, what is served and what was not joined',
    show: ['status', '--json'],
    needs: 'peer',
    status: 0,
    sees: '"seen_not_joined":\\[',
  },
  {
    id: 'pipeline',
    claim: 'the running peer answers, and says which processes computed it',
    show: [...SEEDED, '--json'],
    needs: 'peer',
    status: 0,
    sees: '"route":\\[\\{',
  },
  {
    id: 'found',
    claim: 'peers find each other and connect',
    show: ['wait', '--for', 'peers=1', '--timeout', '5s', '--json'],
    needs: 'mesh',
    status: 0,
    sees: '"schema":"weft.wait/1"',
  },
  {
    id: 'ping',
    claim: 'round trips over the mesh are measured',
    show: ['ping', 'PEER', '--count', '3', '--json'],
    needs: 'mesh',
    status: 0,
    sees: '"median_ms":',
  },
  {
    id: 'netcheck',
    claim: 'each pair of peers is measured: round trip, jitter, loss, both ways, and a verdict',
    show: ['netcheck', 'PEER', '--json'],
    needs: 'mesh',
    status: 0,
    sees: '"schema":"weft.netcheck/1".*"verdict":\\{"state":"(good|warning)"',
  },
]
