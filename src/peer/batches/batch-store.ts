/** Batches in one SQLite file of the home: a result is there whole or not at all, whenever the process or the power ends. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { diskTrouble, openDurableDatabase } from '../../store/index.ts'
import type { AtRest } from '../../trust/index.ts'
import type { Clock } from '../../util/index.ts'
import { BatchDamagedError, BatchDiskError, BatchRoomError } from './errors.ts'
import { CONTENT_BYTES, SealBrokenError, SealedColumns, TEXT_BYTES } from './sealed-columns.ts'
import type { Batch, BatchBook, BatchChange, BatchCounts, BatchFile, BatchResult } from './types.ts'

/** Bytes of inputs and results together. */
export const MAX_STORED_BYTES = 512 << 20
/** Batches of one owner that have not ended. */
export const MAX_UNFINISHED = 64
const KEPT_S = 30 * 86_400
const BUSY_MS = 2_000

const TABLES = `
CREATE TABLE IF NOT EXISTS files (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, filename TEXT NOT NULL, created INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER, record TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS results (
  batch TEXT NOT NULL, line INTEGER NOT NULL, ok INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (batch, line)
) STRICT;
`

export interface BatchStoreLimits {
  readonly bytes: number
  readonly unfinished: number
}

export class BatchStore implements BatchBook {
  readonly #clock: Pick<Clock, 'wall'>
  readonly #limits: BatchStoreLimits
  readonly #path: string
  readonly #database: DatabaseSync
  readonly #sealed: SealedColumns

  /**
   * @param atRest seals inputs and results. @default they lie in clear
   * @throws BatchDiskError, BatchDamagedError
   */
  constructor(
    clock: Pick<Clock, 'wall'>,
    path: string,
    limits: BatchStoreLimits = { bytes: MAX_STORED_BYTES, unfinished: MAX_UNFINISHED },
    atRest?: AtRest,
  ) {
    this.#sealed = new SealedColumns(atRest)
    this.#clock = clock
    this.#limits = limits
    this.#path = path
    this.#database = this.#told(() => openDurableDatabase(path, BUSY_MS, TABLES))
    this.sweep()
  }

  addFile(owner: string, { id, filename, created }: BatchFile, content: Uint8Array): void {
    if (this.#stored() + content.length > this.#limits.bytes)
      throw new BatchRoomError(`files of batches take ${this.#limits.bytes} bytes at most`, this.#limits.bytes)
    const sealed = this.#sealed.content(id, content)
    this.#run('INSERT INTO files VALUES (?, ?, ?, ?, ?)', id, owner, filename, created, sealed)
  }

  files(owner: string): readonly BatchFile[] {
    const own = this.#all<FileRow>(
      `SELECT id, filename, created, ${CONTENT_BYTES} AS bytes FROM files WHERE owner = ? ORDER BY created DESC, id`,
      owner,
    ).map(fileOf)
    const results = this.batches(owner).flatMap((batch) => [this.results(batch, true), this.results(batch, false)])
    return [...own, ...results.flatMap((each) => (each === undefined ? [] : [each.file]))]
  }

  file(owner: string, id: string): BatchFile | undefined {
    return this.files(owner).find((file) => file.id === id)
  }

  content(owner: string, id: string): Uint8Array | undefined {
    const [row] = this.#all<{ content: Uint8Array }>('SELECT content FROM files WHERE owner = ? AND id = ?', owner, id)
    if (row !== undefined) return this.#told(() => this.#sealed.openContent(id, row.content))
    for (const batch of this.batches(owner))
      for (const ok of [true, false]) {
        const found = this.results(batch, ok)
        if (found?.file.id === id) return found.content()
      }
    return undefined
  }

  removeFile(owner: string, id: string): boolean {
    if (this.#run('DELETE FROM files WHERE owner = ? AND id = ?', owner, id) > 0) return true
    for (const batch of this.batches(owner))
      for (const ok of [true, false])
        if (batch.ended !== null && this.results(batch, ok)?.file.id === id)
          return this.#run('DELETE FROM results WHERE batch = ? AND ok = ?', batch.id, Number(ok)) > 0
    return false
  }

  add(batch: Batch): void {
    const [{ count }] = this.#all<{ count: number }>(
      'SELECT count(*) AS count FROM batches WHERE owner = ? AND ended IS NULL',
      batch.owner,
    ) as [{ count: number }]
    if (batch.ended === null && count >= this.#limits.unfinished)
      throw new BatchRoomError(`${count} batches have not ended yet`, this.#limits.unfinished)
    const { id, owner, created, ended } = batch
    this.#run('INSERT INTO batches VALUES (?, ?, ?, ?, ?)', id, owner, created, ended, JSON.stringify(batch))
  }

  change(id: string, change: BatchChange): void {
    const [row] = this.#all<BatchRow>('SELECT record FROM batches WHERE id = ?', id)
    if (row === undefined) return
    const batch = { ...(JSON.parse(row.record) as Batch), ...change }
    this.#run('UPDATE batches SET record = ?, ended = ? WHERE id = ?', JSON.stringify(batch), batch.ended, id)
  }

  batches(owner: string): readonly Batch[] {
    return this.#batches('WHERE owner = ? ORDER BY created DESC, id', owner)
  }

  batch(owner: string, id: string): Batch | undefined {
    return this.#batches('WHERE owner = ? AND id = ?', owner, id)[0]
  }

  unfinished(): readonly Batch[] {
    return this.#batches('WHERE ended IS NULL ORDER BY created, id')
  }

  counts(id: string): BatchCounts {
    const rows = this.#all<{ ok: number; count: number }>(
      'SELECT ok, count(*) AS count FROM results WHERE batch = ? GROUP BY ok',
      id,
    )
    const of = (ok: number): number => rows.find((row) => row.ok === ok)?.count ?? 0
    return { completed: of(1), failed: of(0) }
  }

  done(id: string): ReadonlySet<number> {
    return new Set(this.#all<{ line: number }>('SELECT line FROM results WHERE batch = ?', id).map(({ line }) => line))
  }

  addResult(id: string, { line, ok, text }: BatchResult): void {
    this.#run(
      'INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)',
      id,
      line,
      Number(ok),
      this.#sealed.text(id, line, text),
    )
  }

  results(batch: Batch, ok: boolean): { readonly file: BatchFile; readonly content: () => Uint8Array } | undefined {
    const [{ count, bytes }] = this.#all<{ count: number; bytes: number }>(
      `SELECT count(*) AS count, coalesce(sum(${TEXT_BYTES} + 1), 0) AS bytes FROM results WHERE batch = ? AND ok = ?`,
      batch.id,
      Number(ok),
    ) as [{ count: number; bytes: number }]
    if (count === 0) return undefined
    const kind = ok ? 'output' : 'errors'
    const id = `file-${batch.id.replace(/^batch_/, '')}-${kind}`
    const file: BatchFile = {
      id,
      filename: `${batch.id}_${kind}.jsonl`,
      purpose: 'batch_output',
      bytes,
      created: batch.ended ?? batch.created,
    }
    return { file, content: () => this.#content(batch.id, ok) }
  }

  #content(batch: string, ok: boolean): Uint8Array {
    const rows = this.#all<{ line: number; text: string }>(
      'SELECT line, text FROM results WHERE batch = ? AND ok = ? ORDER BY line',
      batch,
      Number(ok),
    )
    const texts = this.#told(() => rows.map(({ line, text }) => this.#sealed.openText(batch, line, text)))
    return Buffer.from(texts.map((text) => `${text}\n`).join(''))
  }

  sweep(): void {
    const before = Math.floor(this.#clock.wall() / 1000) - KEPT_S
    this.#run('DELETE FROM batches WHERE ended IS NOT NULL AND ended < ?', before)
    this.#run('DELETE FROM results WHERE batch NOT IN (SELECT id FROM batches)')
    // Of a batch that has not ended, whatever its age, the input is still needed.
    const needed = new Set(this.unfinished().map(({ input }) => input))
    for (const { id } of this.#all<{ id: string }>('SELECT id FROM files WHERE created < ?', before))
      if (!needed.has(id)) this.#run('DELETE FROM files WHERE id = ?', id)
  }

  close(): void {
    this.#database.close()
  }

  #stored(): number {
    const [row] = this.#all<{ bytes: number }>(
      `SELECT (SELECT coalesce(sum(length(content)), 0) FROM files)
            + (SELECT coalesce(sum(octet_length(text)), 0) FROM results) AS bytes`,
    )
    return row?.bytes ?? 0
  }

  #batches(where: string, ...values: readonly SQLInputValue[]): Batch[] {
    const rows = this.#all<BatchRow>(`SELECT record FROM batches ${where}`, ...values)
    return rows.map(({ record }) => JSON.parse(record) as Batch)
  }

  #all<Row>(sql: string, ...values: readonly SQLInputValue[]): Row[] {
    return this.#told(() => this.#database.prepare(sql).all(...values) as Row[])
  }

  #run(sql: string, ...values: readonly SQLInputValue[]): number {
    return this.#told(() => Number(this.#database.prepare(sql).run(...values).changes))
  }

  #told<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      if (error instanceof SealBrokenError) throw new BatchDamagedError(this.#path, error.message, error)
      const trouble = diskTrouble(this.#path, error)
      if (trouble === undefined) throw error
      if (trouble.kind === 'damaged') throw new BatchDamagedError(this.#path, trouble.why, error)
      throw new BatchDiskError(trouble, error)
    }
  }
}

interface BatchRow {
  readonly record: string
}

interface FileRow {
  readonly id: string
  readonly filename: string
  readonly created: number
  readonly bytes: number
}

function fileOf({ id, filename, created, bytes }: FileRow): BatchFile {
  return { id, filename, created, bytes, purpose: 'batch' }
}
