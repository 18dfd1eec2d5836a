/** Whether an audit log holds together, and is still what others saw of it: every row, every text, every signature, every head. */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { checkRows, EMPTY_CHAIN, readAnchor } from '../../store/index.ts'
import type { ChainHead, ChainPlaces } from '../../store/index.ts'
import { verify } from '../identity.ts'
import { AUDIT_CHAIN, contentHash, readContent } from './entry.ts'
import type { AuditContent, AuditLink } from './entry.ts'

/** A head of this log that somebody else remembers. */
export interface WitnessedHead extends ChainHead {
  /** Who remembers it. */
  readonly by: string
}

export interface AuditTrouble {
  /** The first entry that is not what it was. */
  readonly entry: number
  readonly why: string
}

export interface AuditReport {
  /** Whose log it is. */
  readonly peer: string
  readonly entries: number
  readonly head: ChainHead
  /** Entries at the end that no signature covers yet: written while the key was locked. */
  readonly unsigned: number
  /** Heads that others remember and that it still has. */
  readonly witnesses: readonly WitnessedHead[]
  /** Of an export: when it was made, ISO 8601; null: of a home. */
  readonly exported: string | null
  /** Times at which the clock had been set back between two entries. */
  readonly clock_back: number
  readonly trouble: AuditTrouble | null
}

/** A row of the file, or a line of an export. */
export interface AuditRow {
  readonly seq: unknown
  readonly body: unknown
  readonly hash: unknown
  readonly signature: unknown
  /** Undefined: not shown, as in a proof; then the hash in the row stands for it. */
  readonly content?: unknown
}

export interface CheckedAudit {
  readonly report: AuditReport
  readonly links: readonly AuditLink[]
  readonly contents: readonly (AuditContent | undefined)[]
}

/**
 * @param known heads that it must contain, of whoever remembers them; `anchor` among them
 * @param before where the rows begin: behind this head
 */
export function checkAudit(
  peer: string,
  rows: readonly AuditRow[],
  known: readonly WitnessedHead[],
  { first, before = EMPTY_CHAIN }: { readonly first?: AuditTrouble | undefined; readonly before?: ChainHead } = {},
): CheckedAudit {
  const signer = { verify: (bytes: Uint8Array, signature: Uint8Array) => verify(peer, bytes, signature) }
  const { entries, hashes, signed, fault } = checkRows(AUDIT_CHAIN, rows as readonly {}[], signer, 'each', before)
  const contents = entries.map(({ content }, index) => {
    const text = rows[index]?.content
    return typeof text === 'string' && contentHash(text) === content ? readContent(text) : undefined
  })
  const wrong = contents.findIndex((content, index) => content === undefined && rows[index]?.content !== undefined)
  const clockBack = entries.filter(({ wall }, index) => index > 0 && wall < entries[index - 1]!.wall).length
  const has = ({ seq, hash }: ChainHead): boolean => seq === 0 || hashes[seq - 1 - before.seq] === hash
  const last = before.seq + entries.length
  const troubles = [
    ...(first === undefined ? [] : [first]),
    ...(fault === undefined ? [] : [fault]),
    ...(wrong < 0 ? [] : [{ entry: before.seq + wrong + 1, why: 'its text is not the one that was hashed' }]),
    ...known.filter((head) => !has(head)).map((head) => missing(head, last, known.filter(has))),
  ].sort((left, right) => left.entry - right.entry)
  return {
    links: entries,
    contents,
    report: {
      peer,
      entries: last,
      head: { seq: last, hash: hashes.at(-1) ?? before.hash },
      unsigned: last - Math.max(signed, before.seq),
      witnesses: known.filter((head) => head.by !== ANCHOR && head.by !== EXPORT && has(head)),
      exported: null,
      clock_back: clockBack,
      trouble: troubles[0] ?? null,
    },
  }
}

const ANCHOR = 'anchor'
/** The head that an export was signed with. */
export const EXPORT = 'export'
const NAMES: Readonly<Record<string, string>> = { [ANCHOR]: 'its anchor', [EXPORT]: 'the head that was signed with it' }

/** What is gone begins after the last head that is still there. */
function missing(head: WitnessedHead, entries: number, held: readonly ChainHead[]): AuditTrouble {
  const by = NAMES[head.by] ?? `the peer ${head.by}`
  if (head.seq > entries)
    return { entry: entries + 1, why: `${by} says that there were ${head.seq} entries: the rest was cut off` }
  const after = Math.max(0, ...held.filter(({ seq }) => seq < head.seq).map(({ seq }) => seq))
  return { entry: after + 1, why: `${by} has another entry ${head.seq}: what follows entry ${after} was written anew` }
}

/** The log of this home. @throws what the file system throws */
export function checkAuditFile(peer: string, places: ChainPlaces, known: readonly WitnessedHead[]): CheckedAudit {
  const { rows, trouble } = readAuditRows(places.path)
  const signer = {
    sign: () => new Uint8Array(),
    verify: (bytes: Uint8Array, signature: Uint8Array) => verify(peer, bytes, signature),
  }
  let anchored: ChainHead = EMPTY_CHAIN
  let first = trouble
  try {
    const isSigned = rows.some(({ signature }) => signature instanceof Uint8Array && signature.length > 0)
    anchored = readAnchor(AUDIT_CHAIN, places, signer, isSigned)
  } catch (error) {
    first ??= { entry: rows.length, why: (error as Error).message }
  }
  return checkAudit(peer, rows, [{ ...anchored, by: ANCHOR }, ...known], { first })
}

/** A file that SQLite cannot read has no rows, and trouble at the first. */
export function readAuditRows(path: string): { readonly rows: AuditRow[]; readonly trouble?: AuditTrouble } {
  if (!existsSync(path)) return { rows: [] }
  const rows: AuditRow[] = []
  try {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      const tables = database.prepare("SELECT name FROM sqlite_master WHERE name IN ('entries', 'contents')").all()
      if (tables.length < 2) return { rows }
      const all = database.prepare(
        'SELECT entries.seq AS seq, body, hash, signature, content FROM entries LEFT JOIN contents USING (seq) ORDER BY seq',
      )
      for (const row of all.iterate()) rows.push({ ...(row as unknown as AuditRow), content: row['content'] ?? null })
    } finally {
      database.close()
    }
    return { rows }
  } catch (error) {
    return { rows, trouble: { entry: rows.length + 1, why: `the file cannot be read: ${(error as Error).message}` } }
  }
}
