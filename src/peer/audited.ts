/** What a person or program had done by a peer, written down with how it ended. */
import type { AnyManifest } from '../models/index.ts'
import { PeerUnreachableError } from '../net/index.ts'
import type { ConnectedPeer, Network, Refusal } from '../net/index.ts'
import type { AuditEvent, AuditFacts } from '../trust/index.ts'
import type { ClusterAction, ClusterControl } from './cluster/index.ts'
import type { FederatedCall } from './federated.ts'
import type { Quarantine } from './quarantine.ts'
import type { Site } from './site.ts'
import type { PlacementStatus } from './types.ts'

/** Runs it, and writes down that it was done, or with which code it was refused or failed. */
export async function audited<Result>(
  site: Site,
  what: string,
  target: string | undefined,
  action: () => Promise<Result>,
  facts: (result: Result) => AuditFacts = () => ({}),
): Promise<Result> {
  const who = site.actor()
  try {
    const result = await action()
    site.note({ who, what, target, result: 'ok', facts: facts(result) })
    return result
  } catch (error) {
    site.note({ who, what, target, result: 'failed', facts: { code: auditCode(error) } })
    throw error
  }
}

/** The code of what was thrown; another program's error has none. */
export function auditCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'failed'
}

/** What is written down of something done to the cluster, by a running peer and by a command alone; undefined: it changes nothing. */
export function clusterDeed(action: ClusterAction): Pick<AuditEvent, 'what' | 'target'> | undefined {
  if (action.do === 'show' || action.do === 'invites' || action.do === 'export') return undefined
  return { what: `cluster.${action.do}`, target: 'peer' in action ? action.peer : undefined }
}

export function importFacts({ digest, model }: AnyManifest): AuditFacts {
  return { model, digest }
}

export function deployFacts({ kind, stages, epoch }: PlacementStatus): AuditFacts {
  return { kind, epoch, stages: stages.length, peers: new Set(stages.map(({ peer }) => peer)).size }
}

/** Who joined and who was not let in, each time. Addresses are not written down: they are of people. */
export function auditPeers(site: Pick<Site, 'tally'>, network: Network): () => void {
  const joined = ({ id, direction, version }: ConnectedPeer): void =>
    site.tally({ who: `peer:${id}`, what: 'peer.joined', result: 'ok', facts: { direction, version } })
  const refused = ({ id, address, code }: Refusal): void => {
    // nobody has done anything: a peer that is off would fill the log
    if (code === PeerUnreachableError.info.code) return
    // whoever knocks comes from another port each time
    const who = id === null ? `address:${address?.replace(/\/tcp\/\d+/, '') ?? 'unknown'}` : `peer:${id}`
    site.tally({ who, what: 'peer.refused', result: 'refused', target: code })
  }
  // Also what was while the parts of this peer were built.
  network.connected().forEach(joined)
  network.refusals().forEach(refused)
  return network.on({ connected: joined, refused, refusedAgain: refused })
}

/** Written down where it changes something. */
export function auditedControl(site: Site, control: ClusterControl): ClusterControl {
  return {
    ...control,
    run(action) {
      const deed = clusterDeed(action)
      if (deed === undefined) return control.run(action)
      return audited(site, deed.what, deed.target, () => control.run(action))
    },
  }
}

/** The same of federations. */
export function auditedFederation<Result>(
  site: Site,
  call: FederatedCall,
  run: () => Promise<Result>,
): Promise<Result> {
  const isLook = call.op === 'rollout' && call.do === 'status'
  if (isLook || ['status', 'rounds', 'log', 'results', 'budget'].includes(call.op)) return run()
  return audited(site, `fed.${call.op}`, 'job' in call ? call.job : undefined, run)
}

/** Out of quarantine, and out of a ban: `peer` may be the subject of one. False: it was in neither. */
export async function liftAll(
  { quarantine, site }: { readonly quarantine: Quarantine; readonly site: Site },
  peer: string,
): Promise<boolean> {
  const unbanned = site.defence.lift(`peer:${peer}`) || site.defence.lift(peer)
  return (await quarantine.lift(peer)) || unbanned
}

/** A call of the HTTP API that can change something: by whom, on which route, with which status. */
export function auditedCall(
  site: Site,
): (call: { readonly who: string; readonly route: string; readonly status: number }) => void {
  return ({ who, route, status }) => {
    // A wildcard is no identifier: what stands for a name in a route is no name.
    const target = route.replaceAll('/', '.').replace(/^\./, '').replaceAll('*', ':name')
    site.tally({ who, what: 'api', target, result: status < 400 ? 'ok' : 'failed', facts: { status } })
  }
}
