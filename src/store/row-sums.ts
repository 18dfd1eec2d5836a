/**
 * A sum over all rows of some small tables, kept in the same file: SQLite does not see a bit that turned on the disk, and one
 * that turns in a counter gives back what was used up. Programs that know of no sum may write to the tables, too: triggers
 * then take the sum away, and whoever knows of it makes it anew.
 */
import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { undoTransaction } from './durable.ts'

const TABLE = 'row_sums'

export interface RowSums {
  /** Looks at the rows where another may have written, or nobody of this process has looked. @throws RowsChangedError */
  check(): void
  /** Last in each transaction that changes rows. */
  renew(): void
}

/** Of whoever opens the file: it is for them to say what it means. */
export class RowsChangedError extends Error {
  constructor() {
    super('its rows are not those that were written')
  }
}

/** @param orders columns that rows are in order by, for each table. @throws what SQLite throws */
export function openRowSums(database: DatabaseSync, orders: Readonly<Record<string, string>>): RowSums {
  const tables = Object.entries(orders)
  if (database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').get(TABLE) === undefined) prepare(database, orders)
  let version: number | undefined
  const sum = (): Buffer => {
    const hash = createHash('sha256')
    for (const [table, order] of tables) {
      // with the names of its columns: what is read by a name that turned is not there
      const made = database.prepare("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?").get(table)
      hash.update(`${table} ${String(made?.['sql'])}\n`)
      for (const row of database.prepare(`SELECT * FROM ${table} ORDER BY ${order}`).iterate())
        hash.update(`${JSON.stringify(Object.values(row).map(plain))}\n`)
    }
    return hash.digest()
  }
  const versionNow = (): number => Number(database.prepare('PRAGMA data_version').get()?.['data_version'])
  return {
    check() {
      const now = versionNow()
      if (now === version) return
      const row = database.prepare(`SELECT sum FROM ${TABLE} WHERE id = 1`).get()
      const kept = row?.['sum']
      const isKnown = kept instanceof Uint8Array
      if (row === undefined || (isKnown ? !sum().equals(kept) : kept !== null)) throw new RowsChangedError()
      version = now
    },
    renew() {
      database.prepare(`UPDATE ${TABLE} SET sum = ? WHERE id = 1`).run(sum())
    },
  }
}

function prepare(database: DatabaseSync, orders: Readonly<Record<string, string>>): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} (id INTEGER PRIMARY KEY, sum BLOB) STRICT`)
    database.exec(`INSERT OR IGNORE INTO ${TABLE} VALUES (1, NULL)`)
    for (const table of Object.keys(orders))
      for (const change of ['INSERT', 'UPDATE', 'DELETE'])
        database.exec(
          `CREATE TRIGGER IF NOT EXISTS ${TABLE}_${table}_${change} AFTER ${change} ON ${table}
           BEGIN UPDATE ${TABLE} SET sum = NULL WHERE id = 1; END`,
        )
    database.exec('COMMIT')
  } catch (error) {
    undoTransaction(database)
    throw error
  }
}

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? `x${Buffer.from(value).toString('hex')}` : value
}
