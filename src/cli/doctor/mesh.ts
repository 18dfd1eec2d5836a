/** Checks of the running peer and of what it sees. */
import { formatMs, plural, shortId } from '../format.ts'
import { runningStatus } from '../peer-access.ts'
import { printable } from '../text.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check, Finding } from './finding.ts'

export const checkPeer: Check = async ({ home, io, signal, status }) => {
  if (status === null) return [ok('peer', 'no peer is running: weft up starts it')]
  const from = io.clock.now()
  await runningStatus(io, home, signal)
  const { name, pid, state } = status.peer
  return [
    ok('peer', `${printable(name)} (process ${pid}) is ${state} and answers in ${formatMs(io.clock.now() - from)}`),
  ]
}

export const checkMesh: Check = ({ status }) => {
  if (status === null) return Promise.resolve([])
  const findings: Finding[] = []
  const connected = status.peers.filter((peer) => peer.state === 'connected')
  findings.push(ok('mesh', `${plural(connected.length, 'other peer')} connected`))
  for (const seen of status.seen_not_joined) {
    const who = printable(seen.id === null ? (seen.address ?? 'somebody') : shortId(seen.id))
    findings.push(
      warn('mesh-seen', `${who} was seen and not joined: ${printable(seen.why)} (${seen.code})`, printable(seen.hint)),
    )
  }
  const skewed = connected.filter((peer) => peer.version !== status.peer.version)
  for (const peer of skewed) {
    findings.push(
      warn(
        'mesh-version',
        `${printable(peer.name)} runs weft ${printable(peer.version)}, this peer ${status.peer.version}`,
        'update the older one',
      ),
    )
  }
  return Promise.resolve(findings)
}

export const checkStages: Check = ({ status }) => {
  const failed = status?.stages.filter((stage) => stage.state === 'failed') ?? []
  return Promise.resolve(
    failed.map((stage) =>
      fail(
        'stages',
        `stage ${printable(stage.model)}[${stage.from}:${stage.to}] has failed`,
        'weft logs shows why; weft deploy loads it anew',
      ),
    ),
  )
}
