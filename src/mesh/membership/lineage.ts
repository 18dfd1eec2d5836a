/**
 * Who the admins of a cluster are, proven from its first entry without the rest of the log: a stranger with an invite is
 * told no more than that before it has handed the invite in. The entries between are left out, so places and hashes of
 * those that are shown are not checked, but each signature is, by admins of that moment.
 */
import { areSigned, decodeEntry } from '../../trust/index.ts'
import type { Cluster, Entry } from '../../trust/index.ts'

/** As many changes of admins as a cluster ever sees. */
export const MAX_LINEAGE = 1_000

export function lineageOf(cluster: Cluster): readonly Uint8Array[] {
  const shown: Uint8Array[] = []
  const admins = new Set<string>()
  for (const bytes of cluster.log.entries(0, cluster.head.height + 1)) {
    const entry = decodeEntry(bytes)
    if (touches(admins, entry)) shown.push(bytes)
    change(admins, entry)
  }
  return shown
}

/** The admins that the entries prove, or why they prove nothing. */
export function provenAdmins(cluster: string, all: readonly Uint8Array[]): ReadonlySet<string> | string {
  if (all.length === 0 || all.length > MAX_LINEAGE) return 'it shows no entries, or too many'
  const admins = new Set<string>()
  let [k, complete, root, wanted] = [1, false, '', 1]
  for (const [index, bytes] of all.entries()) {
    let entry: Entry
    try {
      entry = decodeEntry(bytes)
    } catch {
      return 'what it shows are no entries'
    }
    const { body, signatures } = entry
    if (!areSigned(entry)) return 'an entry that it shows is not signed'
    const signers = signatures.map(({ by }) => by)
    if (index === 0) {
      if (entry.hash !== cluster || body.kind !== 'genesis') return 'its cluster begins with another entry'
      if (!signers.includes(body.root) || !signers.includes(body.founder.peer)) return 'its first entry is not signed'
      root = body.root
    } else {
      if (body.cluster !== cluster || !touches(admins, entry)) return 'it shows an entry of something else'
      const byRoot = body.kind === 'set-admins' && signers.includes(root)
      const needed = complete ? k : body.kind === 'admit' ? 1 : Math.min(k, admins.size)
      if (!byRoot && signers.filter((by) => admins.has(by)).length < needed) return 'too few admins have signed'
    }
    change(admins, entry)
    if (body.kind === 'genesis' || body.kind === 'set-admins') [k, wanted] = [body.threshold.k, body.threshold.n]
    if (body.kind === 'genesis' || body.kind === 'set-admins') complete = admins.size >= wanted
    else complete ||= admins.size >= wanted
  }
  return admins
}

function touches(admins: ReadonlySet<string>, { body }: Entry): boolean {
  if (body.kind === 'genesis' || body.kind === 'set-admins') return true
  if (body.kind === 'admit') return body.role === 'admin'
  return body.kind === 'revoke' && admins.has(body.peer)
}

function change(admins: Set<string>, { body }: Entry): void {
  if (body.kind === 'genesis') admins.add(body.founder.peer)
  if (body.kind === 'admit' && body.role === 'admin') admins.add(body.peer)
  if (body.kind === 'revoke') admins.delete(body.peer)
  if (body.kind !== 'set-admins') return
  admins.clear()
  for (const peer of body.admins) admins.add(peer)
}
