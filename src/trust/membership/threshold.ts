/** K of N: who must sign what changes the admins. The log and the proof that a joiner is shown ask the same rule. */
import type { EntryBody, Threshold } from './types.ts'

export interface AdminSet {
  readonly admins: ReadonlySet<string>
  readonly threshold: Threshold
  /** As many admins as there shall be have been there once: from then on k must sign what changes them. */
  readonly complete: boolean
}

/** Whether an entry changes who the admins are. */
export function touchesAdmins(admins: ReadonlySet<string>, body: EntryBody): boolean {
  if (body.kind === 'genesis' || body.kind === 'set-admins') return true
  if (body.kind === 'admit') return body.role === 'admin'
  return body.kind === 'revoke' && admins.has(body.peer)
}

/** How many admins must sign this, as things stand. */
export function signaturesNeeded({ admins, threshold, complete }: AdminSet, body: EntryBody): number {
  // who may end everybody's certificates may end what the admins are for
  if (!touchesAdmins(admins, body) && body.kind !== 'certificates') return 1
  if (complete) return threshold.k
  // the founding set is completed by invites of those who are in it; nobody is put out of it by one alone
  return body.kind === 'admit' ? 1 : Math.min(threshold.k, admins.size)
}

/** Of a set that has just been changed by `body`. */
export function isComplete({ admins, threshold, complete }: AdminSet, body: EntryBody): boolean {
  const isThere = admins.size >= threshold.n
  return body.kind === 'genesis' || body.kind === 'set-admins' ? isThere : complete || isThere
}

/** Who the admins are after an entry. */
export function changeAdmins(admins: Set<string>, body: EntryBody): void {
  if (body.kind === 'genesis') admins.add(body.founder.peer)
  if (body.kind === 'admit' && body.role === 'admin') admins.add(body.peer)
  if (body.kind === 'revoke') admins.delete(body.peer)
  if (body.kind !== 'set-admins') return
  admins.clear()
  for (const peer of body.admins) admins.add(peer)
}
