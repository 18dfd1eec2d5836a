/** An admin's side of an invite: proves who it is, takes a use under the lock of the invites, and lets the joiner in. */
import { errorData } from '../../errors.ts'
import type { WeftError } from '../../errors.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import { InviteDeniedError, InviteWaitsError } from '../../trust/index.ts'
import type { Cluster, InviteBook, Role } from '../../trust/index.ts'
import { createTokenBucket } from '../../util/index.ts'
import type { Clock } from '../../util/index.ts'
import { MeshProtocolError } from '../errors.ts'
import type { MeshLogger } from '../needs.ts'
import { entryFrames } from './entry-frames.ts'
import { ENROL, ENROL_PROTOCOL, enrolFrame, enrolMac, readEnrol, refusedFrame } from './enrol-wire.ts'
import { lineageOf } from './lineage.ts'

/** Strangers may ask as often as people join; guessing a secret of 128 bits takes longer. */
const ASKS_PER_SECOND = 200
/** Conversations at a time; each ends by itself. */
const MAX_TALKS = 128
const TALK_MS = 10_000

export interface EnrolNeeds {
  readonly cluster: Cluster
  readonly invites: InviteBook
  readonly clock: Clock
  readonly logger: MeshLogger
  readonly telemetry: Pick<Telemetry, 'count'>
  /** Somebody waits for a person. */
  readonly waits: (peer: string, name: string) => void
  /** A member that has just been let in: it is not known by its address yet. */
  readonly joined: (peer: string, role: Role) => void
}

/** @returns how to take it away again */
export function serveEnrolments(network: Network, needs: EnrolNeeds): void {
  const bucket = createTokenBucket(needs.clock, ASKS_PER_SECOND)
  let talks = 0
  network.handleEarly(ENROL_PROTOCOL, 'enrol', (channel) => {
    if (talks >= MAX_TALKS) return channel.abort(new MeshProtocolError(channel.remote, 'too many ask to be let in'))
    talks++
    const cancel = needs.clock.after(TALK_MS, () =>
      channel.abort(new MeshProtocolError(channel.remote, 'it takes too long to hand in its invite')),
    )
    void channel.closed.then(() => {
      talks--
      cancel()
    })
    talk(channel, needs, bucket)
  })
}

function talk(channel: Channel, needs: EnrolNeeds, bucket: { take(count: number): Promise<void> }): void {
  const { cluster, invites } = needs
  const peer = channel.remote
  let asked: string | undefined
  let over = false
  const ask = async (message: Frame): Promise<void> => {
    const { invite, nonce } = readEnrol(peer, 'ask', message)
    await bucket.take(1)
    asked = invite
    const names = { cluster: cluster.id, admin: cluster.self, joiner: peer, nonce }
    await channel.send(enrolFrame('proof', { mac: enrolMac(invites.proofKey(invite), names) }))
    for (const one of entryFrames(ENROL.entries, lineageOf(cluster))) await channel.send(one)
  }
  const handIn = async (message: Frame, invite: string): Promise<void> => {
    const { secret, name } = readEnrol(peer, 'handIn', message)
    over = true
    try {
      admit(needs, peer, { invite, secret, name })
    } catch (error) {
      const outcome = error instanceof InviteWaitsError ? 'waits' : 'refused'
      needs.telemetry.count('enrolments', 1, { outcome })
      needs.logger.warn({ peer, invite, code: (error as WeftError).code }, 'an invite was refused')
      if (outcome === 'waits') needs.waits(peer, name)
      await channel.send(refusedFrame(errorData(error)))
      return channel.close()
    }
    await channel.send(enrolFrame('joined', { clock: needs.clock.wall() }))
    for (const one of entryFrames(ENROL.log, cluster.log.entries(0, cluster.head.height + 1))) await channel.send(one)
    await channel.close()
  }
  channel.onFrame((message) => {
    if (over) throw new MeshProtocolError(peer, 'it hands in an invite twice')
    return asked === undefined ? ask(message) : handIn(message, asked)
  })
}

/** Checked before the use is taken, so that nobody wastes one who cannot get in. */
function admit(
  { cluster, invites, clock, telemetry, logger, joined }: EnrolNeeds,
  peer: string,
  { invite, secret, name }: { readonly invite: string; readonly secret: Uint8Array; readonly name: string },
): void {
  if (cluster.membership.isRemoved(peer)) throw new InviteDeniedError('it was removed from this cluster')
  const { role, site, again } = invites.redeem({ id: invite, secret, peer, name, now: clock.wall() })
  if (cluster.member(peer) !== undefined) {
    if (!again) throw new InviteDeniedError('it is a member already')
    return telemetry.count('enrolments', 1, { outcome: 'again' })
  }
  cluster.admit({ peer, name: labelOf(name), role, site })
  telemetry.count('enrolments', 1, { outcome: 'joined' })
  logger.info({ peer, role, site }, 'a peer has joined the cluster')
  joined(peer, role)
}

/** What a joiner calls itself, without what cannot be seen. */
function labelOf(name: string): string {
  return name
    .replace(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, 64)
    .trim()
}
