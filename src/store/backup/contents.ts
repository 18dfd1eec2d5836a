/** What of a mesh home is in a backup, and how it is read while a peer may be writing to it. */
import { lstat, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Keys first: an anchor that is older than its chain is right, one that is newer is a chain that lost entries. Answers,
 * models' files and logs are not in it: they are large, or can be had again, or hold what people said.
 */
export const COVERED = ['keys', 'policy.json', 'cluster', 'state', 'partitions', 'peers'] as const
export const NOT_COVERED = ['store', 'cache', 'downloads', 'logs', 'state/journal', 'state/graph-parts'] as const
/** A home has some dozen files of this kind; more is somebody's mistake. */
const MAX_FILES = 10_000
const MAX_FILE_BYTES = 1 << 30
/** Written halfway, or of processes. */
const PASSING = /\.(?:tmp|lock|sock|pid|new)$|-journal$|-wal$|-shm$/
const BUSY_MS = 5_000
/** What an SQLite file begins with, whatever it is called (https://www.sqlite.org/fileformat.html, section 1.3). */
const SQLITE = Buffer.from('SQLite format 3\0')

export interface HomeFile {
  /** From the home, with `/`. */
  readonly path: string
  readonly content: Uint8Array
}

export async function* homeFiles(home: string): AsyncIterable<HomeFile> {
  let count = 0
  for (const top of COVERED) {
    for await (const path of pathsIn(home, top)) {
      if (++count > MAX_FILES) throw new RangeError(`the home has more than ${MAX_FILES} files to back up`)
      const content = await read(join(home, path)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      })
      if (content !== undefined) yield { path, content }
    }
  }
}

async function* pathsIn(home: string, path: string): AsyncIterable<string> {
  if ((NOT_COVERED as readonly string[]).includes(path) || PASSING.test(path)) return
  const stats = await lstat(join(home, path)).catch(() => undefined)
  // A link leads out of the home: what it names is not the home's.
  if (stats === undefined || stats.isSymbolicLink()) return
  if (stats.isFile() && stats.size <= MAX_FILE_BYTES) yield path
  if (!stats.isDirectory()) return
  for (const name of (await readdir(join(home, path))).toSorted()) yield* pathsIn(home, `${path}/${name}`)
}

/** A database is read under its lock: a writer waits, and no entry is read by half. */
async function read(path: string): Promise<Uint8Array> {
  if (!(await isDatabase(path))) return readFile(path)
  const database = new DatabaseSync(path)
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
    database.exec('BEGIN')
    database.prepare('SELECT count(*) FROM sqlite_master').get()
    return await readFile(path)
  } finally {
    database.close()
  }
}

async function isDatabase(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(SQLITE.length), 0, SQLITE.length, 0)
    return bytesRead === SQLITE.length && SQLITE.equals(buffer)
  } finally {
    await file.close()
  }
}
