/** Tables of what was measured: ways between peers, devices, blocks of models; `peers --wide` and `netcheck`. */
import type { HardwareProfile, KnownPeer, LinkStatus, NetCheck, PeerStatus } from '../peer/index.ts'
import { formatBytes, formatMs, plural, shortId } from './format.ts'
import type { Output } from './output.ts'
import { printable, table } from './text.ts'

const UNKNOWN = '-'
/** Of what `linkCells` gives. */
const LINK_COLUMNS = [
  { head: 'RTT', right: true },
  { head: 'JITTER', right: true },
  { head: 'LOSS', right: true },
  { head: 'DOWN', right: true },
  { head: 'UP', right: true },
  { head: 'PATH' },
]

/** The ways from this peer to the others, and what their devices are. */
export function linksTable(status: PeerStatus): string[] {
  const own = { ...status.peer, name: `${status.peer.name}*`, rtt_ms: null, link: null }
  return table(
    [{ head: 'PEER' }, ...LINK_COLUMNS, { head: 'MEM READ', right: true }, { head: 'POWER' }],
    [own, ...status.peers].map((peer: Pick<KnownPeer, 'name' | 'rtt_ms' | 'link' | 'profile'>) => [
      printable(peer.name),
      ...linkCells(peer.rtt_ms, peer.link ?? null),
      rateText(peer.profile?.memory_bandwidth),
      powerText(peer.profile),
    ]),
  )
}

/** Milliseconds a decoder block, measured beside predicted; empty where nobody has told any. */
export function blocksTable(status: PeerStatus): string[] {
  const names = new Map(status.models.map(({ digest, model }) => [digest, model]))
  const rows = [{ ...status.peer, name: `${status.peer.name}*` }, ...status.peers].flatMap(({ name, profile }) =>
    (profile?.models ?? []).map((model) => [
      printable(name),
      printable(names.get(model.digest) ?? shortId(model.digest)),
      formatMs(model.block_ms),
      formatMs(model.prefill_ms),
      formatMs(model.predicted_block_ms),
      formatMs(model.predicted_prefill_ms),
      `${Math.round(model.error * 100)} %`,
      batchText(model.batch),
    ]),
  )
  if (rows.length === 0) return []
  return table(
    [
      { head: 'PEER' },
      { head: 'MODEL' },
      { head: 'BLOCK', right: true },
      { head: 'PROMPT ROW', right: true },
      { head: 'PREDICTED', right: true },
      { head: 'ROW', right: true },
      { head: 'ERROR', right: true },
      { head: 'AT ONCE' },
    ],
    rows,
  )
}

/** `8: 1.9x`: so many rows at once take so many times as long as one; the most that were seen. */
function batchText(batch: NonNullable<HardwareProfile['models']>[number]['batch']): string {
  const most = batch?.at(-1)
  return most === undefined ? UNKNOWN : `${most.rows}: ${most.factor.toFixed(1)}x`
}

/** Who is planned with less memory than it tells of, and for how long yet. */
export function memoryLines({ peers }: Pick<PeerStatus, 'peers'>): string[] {
  return peers.flatMap(({ name, profile, counted }) => {
    if (counted === undefined) return []
    const told = profile === null ? 'more' : formatBytes(profile.memory_quota)
    const { memory, model, needed, why, for_s: seconds } = counted
    return [
      `${printable(name)} tells of ${told} for weft and is planned with ${formatBytes(memory)} for ${plural(Math.ceil(seconds / 60), 'minute')} yet: ` +
        `${formatBytes(needed)} with a stage of ${printable(model)} came to nothing there (${printable(why)})`,
    ]
  })
}

export function netcheckLines(check: NetCheck, out: Output): string[] {
  const { verdict } = check
  const colour = verdict.state === 'good' ? 'green' : 'yellow'
  return [
    ...interfacesTable(check),
    '',
    `ANNOUNCED   ${check.addresses.length === 0 ? 'nothing' : printable(check.addresses[0]!)}`,
    ...check.addresses.slice(1).map((address) => `            ${printable(address)}`),
    `REACHABLE   ${reachText(check)}`,
    ...check.circuits.map((address) => `            ${printable(address)}`),
    ...(check.pairs.length === 0 ? [] : ['', ...pairsTable(check)]),
    '',
    out.paint(colour, `VERDICT     ${printable(verdict.text)}`),
    ...verdict.advice.map((line) => `    try: ${printable(line)}`),
  ]
}

function interfacesTable(check: NetCheck): string[] {
  return table(
    [{ head: 'INTERFACE' }, { head: 'ADDRESS' }, { head: 'USED' }, { head: 'MDNS' }, { head: 'WHY' }],
    check.interfaces.map(({ name, address, used, why, heard }) => [
      printable(name),
      printable(address),
      used ? 'yes' : 'no',
      heardText(heard ?? null),
      printable(why),
    ]),
  )
}

function heardText(peers: number | null): string {
  if (peers === null) return UNKNOWN
  return peers === 0 ? 'no answer' : `${peers} answered`
}

function reachText({ reachability, relaying }: NetCheck): string {
  const text = {
    public: 'yes: others can dial this peer',
    private: 'no: others cannot dial this peer',
    unknown: 'not known: nobody has tried from outside',
  }[reachability]
  const carried = relaying.circuits + relaying.reservations
  return carried === 0 ? text : `${text}; it relays for ${relaying.reservations} peers, ${relaying.circuits} circuits`
}

function pairsTable(check: NetCheck): string[] {
  const rows = check.pairs.map((pair) => [
    printable(pair.name),
    ...linkCells(pair.probe?.rtt_ms ?? pair.rtt_ms, pair),
    pair.probe === null ? 'not probed' : (pair.probe.why ?? 'probed'),
  ])
  return table(
    [{ head: 'PEER' }, ...LINK_COLUMNS, { head: 'PROBE' }],
    rows.map((row) => row.map((cell) => printable(cell))),
  )
}

/** Round trip, jitter, loss, both ways, path. */
function linkCells(rtt: number | null, link: LinkStatus | null): string[] {
  return [
    formatMs(rtt),
    formatMs(link?.jitter_ms ?? null),
    shareText(link?.loss ?? null),
    rateText(link?.bandwidth?.down),
    rateText(link?.bandwidth?.up),
    link === null ? UNKNOWN : link.path,
  ]
}

function shareText(share: number | null): string {
  return share === null ? UNKNOWN : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
}

function rateText(rate: number | null | undefined): string {
  return typeof rate !== 'number' || rate === 0 ? UNKNOWN : `${formatBytes(rate)}/s`
}

/** `battery 61 %, 84 °C of 95`; a device whose system tells nothing has a dash. */
function powerText(profile: HardwareProfile | null): string {
  const { battery = null, thermal = null } = profile ?? {}
  const texts = []
  if (battery !== null) {
    const percent = battery.percent === null ? '' : ` ${Math.round(battery.percent)} %`
    texts.push(`${battery.discharging ? 'on battery' : 'battery'}${percent}`)
  }
  if (thermal !== null) {
    const limit = thermal.limit_celsius === null ? '' : ` of ${Math.round(thermal.limit_celsius)}`
    texts.push(`${Math.round(thermal.celsius)} °C${limit}${thermal.limited ? ', slowed down' : ''}`)
  }
  return texts.length === 0 ? UNKNOWN : texts.join(', ')
}
