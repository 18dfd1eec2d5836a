/**
 * Who the admins of a cluster are, proven from its first entry without the rest of the log: a stranger with an invite is
 * told no more than that before it has handed the invite in. The entries between are left out, so places and hashes of
 * those that are shown are not checked, but each signature is, by admins of that moment.
 */
import { areSigned, changeAdmins, decodeEntry, isComplete, signaturesNeeded, touchesAdmins } from '../../trust/index.ts'
import type { Cluster, Entry, LogHead, Threshold } from '../../trust/index.ts'

/** As many changes of admins as a cluster ever sees. */
export const MAX_LINEAGE = 1_000

/** @returns what is shown now: of a log that has only grown, no more than the new entries are read for it */
export function createLineage(cluster: Cluster): () => readonly Uint8Array[] {
  let shown: Uint8Array[] = []
  let admins = new Set<string>()
  let head: LogHead | undefined
  return () => {
    if (head === undefined || cluster.log.common([head]) === undefined) {
      shown = []
      admins = new Set()
      head = undefined
    }
    for (const bytes of cluster.log.entries(head === undefined ? 0 : head.height + 1, cluster.head.height + 1)) {
      const { body } = decodeEntry(bytes)
      if (touchesAdmins(admins, body)) shown.push(bytes)
      changeAdmins(admins, body)
    }
    head = cluster.head
    return shown
  }
}

interface Proven {
  readonly admins: Set<string>
  threshold: Threshold
  complete: boolean
  root: string
}

/** The admins that the entries prove, or why they prove nothing. */
export function provenAdmins(cluster: string, all: readonly Uint8Array[]): ReadonlySet<string> | string {
  if (all.length === 0 || all.length > MAX_LINEAGE) return 'it shows no entries, or too many'
  const proven: Proven = { admins: new Set(), threshold: { k: 1, n: 1 }, complete: false, root: '' }
  for (const [index, bytes] of all.entries()) {
    let entry: Entry
    try {
      entry = decodeEntry(bytes)
    } catch {
      return 'what it shows are no entries'
    }
    if (!areSigned(entry)) return 'an entry that it shows is not signed'
    const why = index === 0 ? refusedFirst(cluster, entry) : refusedLater(cluster, proven, entry)
    if (why !== undefined) return why
    const { body } = entry
    changeAdmins(proven.admins, body)
    if (body.kind === 'genesis') proven.root = body.root
    if (body.kind === 'genesis' || body.kind === 'set-admins') proven.threshold = body.threshold
    proven.complete = isComplete(proven, body)
  }
  return proven.admins
}

function refusedFirst(cluster: string, { body, hash, signatures }: Entry): string | undefined {
  if (hash !== cluster || body.kind !== 'genesis') return 'its cluster begins with another entry'
  const signers = signatures.map(({ by }) => by)
  const isSigned = signers.includes(body.root) && signers.includes(body.founder.peer)
  return isSigned ? undefined : 'its first entry is not signed'
}

function refusedLater(cluster: string, proven: Proven, { body, signatures }: Entry): string | undefined {
  if (body.cluster !== cluster || !touchesAdmins(proven.admins, body)) return 'it shows an entry of something else'
  const signers = signatures.map(({ by }) => by)
  if (body.kind === 'set-admins' && signers.includes(proven.root)) return undefined
  const enough = signers.filter((by) => proven.admins.has(by)).length >= signaturesNeeded(proven, body)
  return enough ? undefined : 'too few admins have signed'
}
