/** weft status: am I up, who else is, what is served and is every block covered, what is wrong. In this order. */
import type { PeerStatus } from '../../peer/index.ts'
import { clusterSummary, clusterWarnings } from '../cluster/view.ts'
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { formatBytes, formatSpan, plural, shortId } from '../format.ts'
import type { Output } from '../output.ts'
import { quarantineLines } from '../quarantine-view.ts'
import { siteWarnings } from '../site-view.ts'
import { printable } from '../text.ts'
import { peersTable } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const status = await (await openFor(context, 'never')).status(signal)
  if (out.structured) {
    out.document({ ...status, schema: 'weft.status/1' })
    return
  }
  const warnings = warningsOf(status)
  out.line(headLine(status, warnings.length, out))
  out.lines(clusterSummary(status))
  out.lines(peersTable(status, flags.flag('wide')))
  out.lines(reachLines(status))
  out.lines(modelLines(status, out))
  out.lines(draftLines(status))
  out.lines(quarantineLines(status))
  out.lines(unjoinedLines(status, out))
  for (const warning of warnings) out.line(out.paint('yellow', `# warning: ${warning}`))
}

function headLine(status: PeerStatus, warnings: number, out: Output): string {
  const { peer } = status
  const state = peer.state === 'running' ? out.paint('green', 'UP') : out.paint('yellow', 'DRAINING')
  const connected = status.peers.filter((other) => other.state === 'connected').length
  return [
    `${state} ${formatSpan(peer.uptime_s * 1000)}`,
    `network ${printable(peer.network)} (${plural(connected + 1, 'peer')})`,
    `API ${peer.http ?? 'off'}`,
    `health: ${warnings === 0 ? 'good' : plural(warnings, 'warning')}`,
  ].join('  ')
}

/** Only what is out of the ordinary: others cannot dial this peer, or it carries their traffic. */
function reachLines({ peer: { reach } }: PeerStatus): string[] {
  const lines = []
  if (reach?.reachability === 'private') {
    const ways = reach.circuits.length === 0 ? 'no relay keeps a place for it yet' : 'it is reached through a relay'
    lines.push(`REACH  others cannot dial this peer; ${ways}`)
  }
  const carried = reach?.relaying.circuits ?? 0
  if (carried > 0) lines.push(`RELAY  carries ${plural(carried, 'circuit')} between other peers`)
  return lines
}

function modelLines(status: PeerStatus, out: Output): string[] {
  const served = status.models.filter((model) => model.covered > 0)
  return served.map((model, index) => {
    const whole = model.covered >= model.blocks
    const cover = `${model.covered}/${model.blocks} blocks served`
    return `${index === 0 ? 'MODELS' : '      '}  ${printable(model.model)}  ${whole ? cover : out.paint('yellow', cover)}`
  })
}

/** Small models that guess for answers of this peer. */
function draftLines({ drafts = [] }: PeerStatus): string[] {
  return drafts.map(({ model, state, memory, answers }, index) => {
    const now = state === 'ready' ? `guesses for ${plural(answers, 'answer')} now` : state
    return `${index === 0 ? 'DRAFTS' : '      '}  ${printable(model)}  ${now}, ${formatBytes(memory)}`
  })
}

function unjoinedLines(status: PeerStatus, out: Output): string[] {
  return status.seen_not_joined.flatMap((seen) => {
    const who = [seen.id === null ? null : shortId(seen.id), seen.address === null ? null : `(${seen.address})`]
    const name = printable(who.filter((part) => part !== null).join(' '))
    return [
      `${out.paint('yellow', 'SEEN, NOT JOINED')}  ${name}: ${printable(seen.why)}  ${seen.code}`,
      ...(seen.hint === '' ? [] : [`    try: ${printable(seen.hint)}`]),
    ]
  })
}

function warningsOf(status: PeerStatus): string[] {
  const warnings = siteWarnings(status)
  for (const model of status.models) {
    if (model.covered > 0 && model.covered < model.blocks) {
      warnings.push(
        `${printable(model.model)}: ${model.blocks - model.covered} blocks are served by nobody. Try: weft deploy`,
      )
    }
  }
  for (const stage of status.stages) {
    if (stage.state === 'failed')
      warnings.push(`stage ${printable(stage.model)}[${stage.from}:${stage.to}] has failed. Try: weft logs`)
  }
  for (const peer of status.peers) {
    if (peer.state === 'away') warnings.push(`${printable(peer.name)} is away; it is dialled until it is back`)
  }
  warnings.push(...clusterWarnings(status))
  if (!status.interfaces.some((face) => face.used)) {
    warnings.push('no network interface is used. Try: weft doctor')
  }
  return warnings
}
