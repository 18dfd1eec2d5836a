/** The SQLite file of a chain: read with every link checked. */
import type { DatabaseSync } from 'node:sqlite'
import { diskTrouble } from '../durable.ts'
import { writeAnchor } from './head.ts'
import { checkRows } from './rows.ts'
import type { CheckedRows } from './rows.ts'
import type { ChainKind, ChainLink, ChainPlaces, ChainSigner } from './types.ts'

export const CHAIN_TABLE = `CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL, signature BLOB NOT NULL) STRICT`

/** Every entry of the file. @throws the error of the kind for a damaged chain, which names the first entry that is wrong */
export function readChain<Entry extends ChainLink>(
  kind: ChainKind<Entry>,
  database: DatabaseSync,
  signer: Pick<ChainSigner, 'verify'>,
  path: string,
): CheckedRows<Entry> {
  const rows = database.prepare('SELECT seq, body, hash, signature FROM entries ORDER BY seq').iterate()
  const checked = checkRows(kind, rows, signer, 'last')
  const { fault } = checked
  if (fault === undefined) return checked
  const { entry, why } = fault
  throw kind.error('damaged', `the ${kind.noun} ${path} is damaged at entry ${entry}`, {
    why,
    details: { path, entry },
  })
}

/** The newest head, under the lock: a slower process must not put an older one over it. */
export function anchorNow(database: DatabaseSync, domain: string, places: ChainPlaces, signer: ChainSigner): void {
  database.exec('BEGIN IMMEDIATE')
  const row = database.prepare('SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1').get()
  writeAnchor(domain, places, signer, { seq: Number(row?.['seq']), hash: String(row?.['hash']) })
  database.exec('ROLLBACK')
}

/** SQLite's and the file system's refusals as coded errors. */
export function explainedChain<Entry extends ChainLink, T>(kind: ChainKind<Entry>, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const trouble = diskTrouble(path, error)
    if (trouble === undefined) throw error
    const { why, details } = trouble
    const facts = { why, details, cause: error }
    if (trouble.kind === 'busy') throw kind.error('busy', `the ${kind.noun} ${path} is held by another process`, facts)
    if (trouble.kind === 'damaged') throw kind.error('damaged', `the ${kind.noun} ${path} is no ${kind.noun}`, facts)
    throw kind.error('unwritable', `cannot write the ${kind.noun} ${path}`, facts)
  }
}
