/** Tables of what a peer knows; the same ones in `status`, `peers`, `ls` and `ps`. */
import type { KnownPeer, ModelSummary, PeerStatus, RequestStatus, StageStatus, TransferStatus } from '../peer/index.ts'
import type { PlacementFile } from '../pipeline/index.ts'
import { formatBytes, formatMs, plural, shortId } from './format.ts'
import { printable, table } from './text.ts'
import type { Column } from './text.ts'

/** `smollm2[0:15], smollm2[20:30]` for the stages of one peer. */
export function servesText(stages: readonly StageStatus[], peer: string): string {
  const own = stages.filter((stage) => stage.peer === peer)
  const texts = own.map((stage) => {
    const state = stage.state === 'ready' ? '' : ` ${stage.state}`
    return `${printable(stage.model)}[${stage.from}:${stage.to}]${state}`
  })
  return texts.length === 0 ? '-' : texts.join(', ')
}

export function namesOf(status: PeerStatus): ReadonlyMap<string, string> {
  const names = new Map(status.peers.map((peer) => [peer.id, printable(peer.name)]))
  return names.set(status.peer.id, printable(status.peer.name))
}

export function peerName(names: ReadonlyMap<string, string>, id: string): string {
  return names.get(id) ?? shortId(printable(id))
}

/** This peer first, marked by a star. */
export function peersTable(status: PeerStatus, wide: boolean): string[] {
  const columns: Column[] = [
    { head: 'PEER' },
    { head: 'STATE' },
    ...(status.cluster === undefined || status.cluster === null ? [] : [{ head: 'ROLE' }]),
    { head: 'RTT', right: true },
    { head: 'MEM FREE', right: true },
    { head: 'SERVES' },
  ]
  if (wide) columns.push({ head: 'VERSION' }, { head: 'CORES', right: true }, { head: 'ID' }, { head: 'ADDRESSES' })
  const { peer } = status
  const { cluster } = status
  const ownRole = cluster?.role ?? undefined
  const own = { ...peer, name: `${peer.name}*`, rtt_ms: null, models: [], ...(ownRole && { role: ownRole }) }
  return table(
    columns,
    [own, ...status.peers].map((row: Omit<KnownPeer, 'state'> & { readonly state: string }) => {
      const free = row.profile === null ? '-' : formatBytes(row.profile.memory_free)
      const role = cluster === undefined || cluster === null ? [] : [row.role ?? '-']
      const cells = [
        row.name === '' ? shortId(row.id) : printable(row.name),
        row.state,
        ...role,
        formatMs(row.rtt_ms),
        free,
        servesText(status.stages, row.id),
      ]
      const cores = row.profile === null ? '-' : String(row.profile.cores)
      return wide
        ? [...cells, printable(row.version), cores, row.id, row.addresses.map((it) => printable(it)).join(' ')]
        : cells
    }),
  )
}

export function modelsTable(models: readonly ModelSummary[], wide: boolean): string[] {
  const kinds = models.some(({ text }) => text !== undefined)
  const columns: Column[] = [
    { head: 'MODEL' },
    ...(kinds ? [{ head: 'KIND' }] : []),
    { head: 'SIZE', right: true },
    { head: 'BLOCKS', right: true },
    { head: 'SERVED', right: true },
    { head: 'WHERE' },
    { head: 'LICENCE' },
  ]
  if (wide) columns.push({ head: 'DIGEST' })
  return table(
    columns,
    models.map((model) => {
      const served = model.covered === 0 ? '-' : `${model.covered}/${model.blocks}`
      const size = model.bytes > 0 ? formatBytes(model.bytes) : '-'
      const blocks = model.blocks > 0 ? String(model.blocks) : '-'
      const kind = kinds ? [kindText(model)] : []
      const cells = [printable(model.model), ...kind, size, blocks, served, whereText(model), printable(model.license)]
      return wide ? [...cells, model.digest] : cells
    }),
  )
}

/** A language model in blocks, and a graph whose manifest is elsewhere, say nothing. */
function kindText({ text }: ModelSummary): string {
  if (text === undefined) return '-'
  return text.kind === 'encoder' ? `encoder, ${text.dimensions} dimensions` : 'decoder'
}

function whereText(model: ModelSummary): string {
  const places = []
  if (model.local) places.push('here')
  if (model.holders.length > 0) places.push(`${model.holders.length} in the mesh`)
  if (places.length === 0) return model.available ? 'catalogue' : 'nowhere'
  return places.join(', ')
}

export function stagesTable(status: PeerStatus, wide: boolean): string[] {
  const columns: Column[] = [
    { head: 'MODEL' },
    { head: 'BLOCKS' },
    { head: 'PEER' },
    { head: 'PID', right: true },
    { head: 'MEMORY', right: true },
    { head: 'STATE' },
  ]
  if (wide) columns.push({ head: 'PEER ID' })
  const names = namesOf(status)
  return table(
    columns,
    status.stages.map((stage) => {
      const memory = stage.memory > 0 ? formatBytes(stage.memory) : '-'
      const name = peerName(names, stage.peer)
      const cells = [printable(stage.model), `${stage.from}:${stage.to}`, name, String(stage.pid), memory, stage.state]
      return wide ? [...cells, stage.peer] : cells
    }),
  )
}

/** Small models that guess for answers of this peer. */
export function draftsTable(drafts: NonNullable<PeerStatus['drafts']>): string[] {
  return table(
    [
      { head: 'DRAFT MODEL' },
      { head: 'ANSWERS', right: true },
      { head: 'PID', right: true },
      { head: 'MEMORY', right: true },
      { head: 'STATE' },
    ],
    drafts.map(({ model, answers, pid, memory, state }) => [
      printable(model),
      String(answers),
      String(pid),
      formatBytes(memory),
      state,
    ]),
  )
}

export function requestsTable(requests: readonly RequestStatus[]): string[] {
  return table(
    [
      { head: 'REQUEST' },
      { head: 'MODEL' },
      { head: 'STATE' },
      { head: 'PROMPT', right: true },
      { head: 'TOKENS', right: true },
      { head: 'AGE', right: true },
    ],
    requests.map((row) => [
      shortId(printable(row.request)),
      printable(row.model),
      row.state,
      row.state === 'running' ? '-' : String(row.prompt_tokens),
      row.state === 'running' ? '-' : String(row.tokens),
      formatMs(row.age_ms),
    ]),
  )
}

export function transfersTable(transfers: readonly TransferStatus[]): string[] {
  return table(
    [
      { head: 'MODEL' },
      { head: 'TRANSFER' },
      { head: 'DONE', right: true },
      { head: 'OF', right: true },
      { head: 'RATE', right: true },
      { head: 'FROM', right: true },
      { head: 'AGE', right: true },
    ],
    transfers.map((row) => [
      printable(row.model),
      row.kind,
      formatBytes(row.done),
      row.total === null ? '-' : formatBytes(row.total),
      row.rate > 0 ? `${formatBytes(row.rate)}/s` : '-',
      row.kind === 'fetch' ? plural(row.holders, 'peer') : '-',
      formatMs(row.age_ms),
    ]),
  )
}

export function placementText(stages: PlacementFile['stages'], names: ReadonlyMap<string, string>): string {
  return stages.map((stage) => `${peerName(names, stage.peer)}[${stage.from}:${stage.to}]`).join(' -> ')
}
