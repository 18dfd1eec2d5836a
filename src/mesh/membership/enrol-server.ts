/**
 * An admin's side of an invite: has the joiner show that it holds one that is good for it, proves who it is itself, takes
 * a use under the lock of the invites, and lets the joiner in. Whoever holds none is told nothing at all.
 */
import { timingSafeEqual } from 'node:crypto'
import { errorData } from '../../errors.ts'
import type { WeftError } from '../../errors.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import { InviteDeniedError, InviteWaitsError } from '../../trust/index.ts'
import type { Asked, Cluster, InviteBook, Role } from '../../trust/index.ts'
import { createTokenBucket } from '../../util/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { MeshProtocolError } from '../errors.ts'
import type { MeshLogger } from '../needs.ts'
import { entryFrames } from './entry-frames.ts'
import { ENROL, ENROL_PROTOCOL, enrolFrame, enrolMac, readEnrol, refusedFrame } from './enrol-wire.ts'
import { createLineage } from './lineage.ts'

/** Strangers may ask as often as people join; guessing a secret of 128 bits takes longer. */
const ASKS_PER_SECOND = 200
/** Conversations at a time; each ends by itself. */
const MAX_TALKS = 128
/** From one message of the joiner to the next, and from one frame of the log that goes out to the next. */
const TALK_MS = 10_000

export interface EnrolNeeds {
  readonly cluster: Cluster
  readonly invites: InviteBook
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: MeshLogger
  readonly telemetry: Pick<Telemetry, 'count'>
  /** Somebody waits for a person. */
  readonly waits: (peer: string, name: string) => void
  /** A member that has just been let in: it is not known by its address yet. */
  readonly joined: (peer: string, role: Role) => void
  /** An invite was used, or (`code`) was not. `peer` undefined: whoever asked has not shown to hold it. */
  readonly ended: (use: InviteUse) => void
}

export interface InviteUse {
  readonly peer: string | undefined
  readonly invite: string
  readonly code?: string
}

/** Of one channel: its deadline begins anew with each step. */
interface Talk {
  readonly needs: EnrolNeeds
  readonly channel: Channel
  readonly peer: string
  readonly lineage: () => readonly Uint8Array[]
  stepped(): void
}

export function serveEnrolments(network: Network, needs: EnrolNeeds): void {
  const bucket = createTokenBucket(needs.clock, ASKS_PER_SECOND)
  const lineage = createLineage(needs.cluster)
  let talks = 0
  network.handleEarly(
    ENROL_PROTOCOL,
    'enrol',
    (channel) => {
      const peer = channel.remote
      if (talks >= MAX_TALKS) return channel.abort(new MeshProtocolError(peer, 'too many ask to be let in'))
      talks++
      const late = (): void => channel.abort(new MeshProtocolError(peer, 'it takes too long to hand in its invite'))
      let cancel = needs.clock.after(TALK_MS, late)
      const stepped = (): void => {
        cancel()
        cancel = needs.clock.after(TALK_MS, late)
      }
      void channel.closed.then(() => {
        talks--
        cancel()
      })
      listen({ needs, channel, peer, lineage, stepped }, bucket)
    },
    'asks',
  )
}

function listen(talk: Talk, bucket: { take(count: number): Promise<void> }): void {
  let asked: Promise<string | undefined> | undefined
  let over = false
  talk.channel.onFrame(async (message) => {
    if (over) throw new MeshProtocolError(talk.peer, 'it hands in an invite twice')
    if (asked === undefined) {
      asked = bucket.take(1).then(() => ask(talk, message))
      await asked
      return
    }
    over = true
    const invite = await asked
    if (invite !== undefined) await handIn(talk, message, invite)
  })
}

/** @returns the invite that the joiner has shown to hold, and that is good for it */
async function ask(talk: Talk, message: Frame): Promise<string | undefined> {
  const { needs, channel, peer } = talk
  const { cluster, invites } = needs
  const { invite, nonce, mac } = readEnrol(peer, 'ask', message)
  const names = { cluster: cluster.id, admin: cluster.self, joiner: peer, nonce }
  const key = invites.proofKey(invite)
  const holds = timingSafeEqual(mac, enrolMac(key, 'joiner', names))
  // a proof to somebody else would be one more thing to guess the secret by
  await channel.send(enrolFrame('proof', { mac: holds ? enrolMac(key, 'admin', names) : needs.random.bytes(32) }))
  if (!holds) {
    needs.ended({ peer: undefined, invite, code: 'unproven' })
    await channel.close()
    return undefined
  }
  try {
    mayHave(cluster, peer)
    invites.check(askedOf(needs, peer, invite))
  } catch (error) {
    await refuse(talk, invite, error)
    return undefined
  }
  talk.stepped()
  for (const one of entryFrames(ENROL.entries, talk.lineage())) await channel.send(one)
  return invite
}

async function handIn(talk: Talk, message: Frame, invite: string): Promise<void> {
  const { needs, channel, peer } = talk
  const { cluster } = needs
  const { secret, name } = readEnrol(peer, 'handIn', message)
  try {
    admit(needs, peer, { invite, secret, name })
    needs.ended({ peer, invite })
  } catch (error) {
    if (error instanceof InviteWaitsError) needs.waits(peer, name)
    return refuse(talk, invite, error)
  }
  await channel.send(enrolFrame('joined', { clock: needs.clock.wall() }))
  for (const one of entryFrames(ENROL.log, cluster.log.entries(0, cluster.head.height + 1))) {
    talk.stepped()
    await channel.send(one)
  }
  await channel.close()
}

async function refuse({ needs, channel, peer }: Talk, invite: string, error: unknown): Promise<void> {
  const outcome = error instanceof InviteWaitsError ? 'waits' : 'refused'
  const { code } = error as WeftError
  needs.telemetry.count('enrolments', 1, { outcome })
  needs.logger.warn({ peer, invite, code }, 'an invite was refused')
  needs.ended({ peer, invite, code })
  await channel.send(refusedFrame(errorData(error)))
  await channel.close()
}

function mayHave(cluster: Cluster, peer: string): void {
  if (cluster.membership.isRemoved(peer)) throw new InviteDeniedError('it was removed from this cluster')
}

function askedOf({ cluster, clock }: EnrolNeeds, peer: string, id: string): Asked {
  const isGone = cluster.log.state.removed.has(peer)
  const standing = cluster.member(peer) !== undefined ? 'member' : isGone ? 'left' : 'new'
  return { id, peer, standing, now: clock.wall() }
}

/** Checked before the use is taken, so that nobody wastes one who cannot get in. */
function admit(
  needs: EnrolNeeds,
  peer: string,
  { invite, secret, name }: { readonly invite: string; readonly secret: Uint8Array; readonly name: string },
): void {
  const { cluster, invites, telemetry, logger, joined } = needs
  mayHave(cluster, peer)
  const asked = askedOf(needs, peer, invite)
  const { role, site } = invites.redeem({ ...asked, secret, name })
  if (asked.standing === 'member') return telemetry.count('enrolments', 1, { outcome: 'again' })
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
