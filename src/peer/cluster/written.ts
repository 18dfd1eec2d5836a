/** What the membership log comes to say, and what came of invites, in the audit log of this site. */
import type { InviteUse } from '../../mesh/index.ts'
import type { AuditEvent, Cluster, Entry } from '../../trust/index.ts'
import type { Site } from '../site.ts'

type Writer = Pick<Site, 'note' | 'tally'>

/** A member that slept through more than these has them in its log, which is signed: here they are one line. */
const MAX_LINES = 64

/** @returns how to end it */
export function writeMembership(site: Writer, cluster: Cluster): () => void {
  return cluster.on(({ added, fork }) => {
    const events = added.flatMap(eventOf)
    if (events.length <= MAX_LINES) for (const event of events) site.note(event)
    else site.note({ who: 'weft', what: 'membership.caught-up', result: 'ok', facts: { entries: added.length } })
    if (fork === undefined) return
    site.note({ who: 'weft', what: 'membership.fork', result: 'refused', facts: { height: fork.height } })
  })
}

/** Checkpoints change nothing. */
function eventOf({ body, signatures }: Entry): AuditEvent[] {
  const who = `peer:${signatures[0]?.by ?? 'unknown'}`
  const facts = { height: body.height, ...(signatures.length > 1 ? { signers: signatures.length } : {}) }
  const event = (what: string, target?: string, more: AuditEvent['facts'] = {}): AuditEvent[] => [
    { who, what: `membership.${what}`, target, result: 'ok', facts: { ...facts, ...more } },
  ]
  if (body.kind === 'admit') return event('admit', `peer:${body.peer}`, { role: body.role })
  if (body.kind === 'revoke')
    return event(body.left ? 'leave' : 'revoke', `peer:${body.peer}`, { epoch: body.rotation.epoch })
  if (body.kind === 'set-admins') return event('admins', undefined, { admins: body.admins.length })
  if (body.kind === 'certificates') return event('certificates', undefined, { lifetime_ms: body.lifetime })
  return body.kind === 'rotate' ? event('rotate', undefined, { epoch: body.rotation.epoch }) : []
}

/** Whoever shows no invite may come under any number of names: those are one line. */
export function writeInviteUse(site: Writer, { peer, invite, code }: InviteUse): void {
  const who = peer === undefined ? 'stranger' : `peer:${peer}`
  const target = peer === undefined ? undefined : `invite:${invite}`
  if (code === undefined) site.note({ who, what: 'invite.use', target, result: 'ok' })
  else site.tally({ who, what: 'invite.use', target, result: 'refused', facts: { code } })
}
