/** What one side of a comparison has newer than the other. */
import type { DigestEntry } from './record-book.ts'
import { recordId } from './records.ts'

/** @returns ids of those among `ours` that `theirs` has not, or only an older version of; each of either is looked at once */
export function newerThan(theirs: readonly DigestEntry[], ours: Iterable<DigestEntry>): string[] {
  // By author first: the whole name of each entry would cost more than all the rest.
  const known = new Map<string, Map<string, number>>()
  for (const [kind, key, author, version] of theirs) {
    const versions = known.get(author) ?? new Map<string, number>()
    if (versions.size === 0) known.set(author, versions)
    versions.set(nameOf(kind, key), version)
  }
  const newer: string[] = []
  for (const [kind, key, author, version] of ours)
    if (version > (known.get(author)?.get(nameOf(kind, key)) ?? 0)) newer.push(recordId({ kind, author, key }))
  return newer
}

/** Most have no key. */
function nameOf(kind: string, key: string): string {
  return key === '' ? kind : `${kind}\n${key}`
}
