/** Heads of audit logs on the mesh: this peer's goes out, those of others are kept, and what others keep of this one is looked at. */
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import type { ChainHead } from '../store/index.ts'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import { auditPlaces, hasAuditHead, signHead, Witnesses } from '../trust/index.ts'
import type { Identity } from '../trust/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { auditPeers } from './audited.ts'
import { createClones } from './clones.ts'
import type { HomePaths } from './home.ts'
import type { Site } from './site.ts'

/** A head goes out no more often: each is a record that all peers take. */
const TELL_MS = 3_000
/** A copied home is told of at once. */
const SOON_MS = 250
/** Heads of others in one record: 64 are 18 KB of the 64 that it may have. */
const MAX_SEEN = 64

export interface AuditHeadsNeeds {
  readonly clock: Clock
  readonly identity: Identity
  readonly mesh: Mesh
  readonly network: Network
  readonly site: Site
  readonly paths: Pick<HomePaths, 'root' | 'state'>
  readonly logger: Pick<Logger, 'warn' | 'error'>
  readonly telemetry: Pick<Telemetry, 'count'>
}

/** Who comes and goes, and the heads of logs. @returns how to end it */
export async function auditMesh(needs: AuditHeadsNeeds): Promise<() => Promise<void>> {
  const stop = [auditPeers(needs.site, needs.network), await exchangeHeads(needs)] as const
  return async () => {
    for (const end of stop) await end()
  }
}

async function exchangeHeads(needs: AuditHeadsNeeds): Promise<() => Promise<void>> {
  const { clock, identity, mesh, paths, site, logger, telemetry } = needs
  const witnesses = await Witnesses.open(paths.state, (error) =>
    logger.warn({ err: error }, 'what was seen of the audit logs of others is put aside'),
  )
  let told = ''
  let cancel: CancelTimer | undefined
  const tell = (): void => {
    cancel = undefined
    const head = site.audit.head()
    if (head.seq === 0) return
    const seen = witnesses.newest().slice(0, MAX_SEEN)
    const cloned = clones.list()
    const said = JSON.stringify([head, seen, cloned])
    if (said === told) return
    const own = signHead(head, (bytes) => identity.sign(bytes))
    mesh.publishAudit({ ...own, seen: [...seen], clones: cloned }).then(() => (told = said), later)
  }
  const later = (): void => {
    cancel ??= clock.after(TELL_MS, tell)
  }
  const soon = (): void => {
    cancel?.()
    cancel = clock.after(SOON_MS, tell)
  }
  const alarm = (what: string, peer: string, head: ChainHead): void => {
    telemetry.count('audit_alarms', 1, { kind: what })
    logger.error({ peer, seq: head.seq, hash: head.hash }, `an audit log is not what it was: ${what}`)
    site.tally({
      who: `peer:${peer}`,
      what: `audit.${what}`,
      result: 'failed',
      facts: { seq: head.seq, hash: head.hash },
    })
  }
  const lookAt = (head: ChainHead): void => {
    if (!hasAuditHead(auditPlaces(paths.root).path, head)) alarm('rewritten', identity.id, head)
  }
  for (const head of witnesses.own()) lookAt(head)
  const look = (author: string): void => {
    const said = mesh.audit(author)
    if (said === undefined || author === identity.id) return
    const { seen, clones: cloned = [], ...head } = said
    clones.heard(author, cloned)
    const verdict = witnesses.offer(author, head)
    if (verdict === 'forked' || verdict === 'rolled back')
      alarm(verdict === 'forked' ? 'forked' : 'shortened', author, head)
    if (verdict === 'kept') later()
    for (const { peer, ...theirs } of seen) {
      if (peer !== identity.id || !witnesses.remember(author, peer, theirs)) continue
      // A head that this peer has signed and that its log does not have: the log was put back, or written anew.
      lookAt(theirs)
    }
  }
  const clones = createClones({ self: identity.id, clock, site, telemetry, changed: soon })
  const off = [
    needs.network.on({ refused: (refusal) => clones.refused(refusal) }),
    mesh.on({ changed: (kind, _key, author) => kind === 'audit' && look(author) }),
    site.audit.onHead(later),
  ]
  // What was seen while the parts of this peer were built.
  for (const refusal of needs.network.refusals()) clones.refused(refusal)
  tell()
  return async () => {
    for (const stop of off) stop()
    cancel?.()
    await witnesses.settled()
  }
}
