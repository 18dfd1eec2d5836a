/**
 * Requests of streamed answers on the disk, so that a client can come back for its answer after this peer was started
 * again: `weft up --journal`. They lie there sealed by the identity of this peer, until the answer is complete and its client
 * has had time to miss nothing; never longer than a day.
 */
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../store/index.ts'
import type { AtRest } from '../trust/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'

/** The route that a client comes back by has to be the one that it came by. */
export type StreamRoute = 'chat' | 'completions' | 'generate'

export interface JournalEntry {
  /** Id of the request: 22 letters of base64url. */
  readonly request: string
  /** Whose it is: a word, or the hash of a key. */
  readonly owner: string
  readonly route: StreamRoute
  /** The body as it was accepted, in JSON. */
  readonly body: string
  /** What chance and the clock gave to it: seed, letters of the answer's own id, seconds since 1970. */
  readonly given: { readonly seed: number; readonly answer: string; readonly created: number }
  /** Of the model's manifest; null: not known then. */
  readonly digest: string | null
}

/** Nothing throws for a disk that refuses: answers go on without a journal, and the log says so. */
export interface StreamJournal {
  write(entry: JournalEntry): Promise<void>
  /** Undefined: not there, or not to be read. */
  read(request: string): Promise<JournalEntry | undefined>
  remove(request: string): Promise<void>
}

const schema = z.strictObject({
  schema: z.literal('weft.journal/1'),
  request: z.string().regex(/^[\w-]{22}$/),
  owner: z.string().min(1).max(128),
  route: z.enum(['chat', 'completions', 'generate']),
  body: z.string(),
  given: z.strictObject({
    seed: z.int().min(0),
    answer: z.string().regex(/^[0-9a-f]{1,64}$/),
    created: z.int().min(0),
  }),
  digest: z.string().max(128).nullable(),
})

/** A body has 1 MiB at most; escaped twice it may be some times as long. */
const MAX_BYTES = 8 << 20
const sealedSchema = z.strictObject({ schema: z.literal('weft.journal/2'), sealed: z.base64().max(MAX_BYTES) })

/** More than may be under way in a few lives of a process; the oldest go. */
const MAX_ENTRIES = 2_048
const DAY_MS = 86_400_000
const SWEEP_MS = 3_600_000
const NAME = /^([\w-]{22})\.json$/

export interface JournalNeeds {
  readonly clock: Clock
  readonly atRest: AtRest
  log(line: string): void
}

export class Journal implements StreamJournal {
  readonly #needs: JournalNeeds
  readonly #directory: string
  #cancelSweep: CancelTimer = () => undefined
  #closed = false

  private constructor(needs: JournalNeeds, directory: string) {
    this.#needs = needs
    this.#directory = directory
  }

  /** Nobody else may write to the folder. */
  static async open(needs: JournalNeeds, directory: string): Promise<Journal> {
    const journal = new Journal(needs, directory)
    await journal.#guard('it cannot be opened', async () => {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await journal.#sweep(true)
    })
    journal.#sweepLater()
    return journal
  }

  /** What an earlier start left: without a journal no prompt stays on the disk. */
  static async discard(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true })
  }

  async write(entry: JournalEntry): Promise<void> {
    const { request } = entry
    const plain = Buffer.from(JSON.stringify({ schema: 'weft.journal/1', ...entry }))
    const sealed = this.#needs.atRest.seal(request, plain).toString('base64')
    const text = JSON.stringify({ schema: 'weft.journal/2', sealed })
    await this.#guard('a request was not written', async () => {
      if (Buffer.byteLength(text) > MAX_BYTES) throw new Error('it is too long')
      await writeFileAtomic(this.#path(request), text, { mode: 0o600 })
    })
  }

  async read(request: string): Promise<JournalEntry | undefined> {
    return this.#guard(`the entry ${request} is passed over`, async () => {
      const text = await this.#text(this.#path(request))
      if (text === undefined) return undefined
      const { schema: _, ...entry } = parse(schema, this.#opened(request, text))
      if (entry.request !== request) throw new Error('it is of another request')
      return entry
    })
  }

  /** @throws Error where it is not sealed for this place by this peer */
  #opened(request: string, text: string): string {
    const opened = this.#needs.atRest.open(request, Buffer.from(parse(sealedSchema, text).sealed, 'base64'))
    if (opened === undefined) throw new Error('it was sealed by another peer, or changed since')
    return opened.toString('utf8')
  }

  async remove(request: string): Promise<void> {
    await this.#guard('a request was not removed', () => rm(this.#path(request), { force: true }))
  }

  close(): void {
    this.#closed = true
    this.#cancelSweep()
  }

  /** @throws Error for a name that is none of ours */
  #path(request: string): string {
    const name = `${request}.json`
    if (!NAME.test(name)) throw new Error('it has no request id')
    return join(this.#directory, name)
  }

  /** Undefined: not there. Whatever stands at the path: at most `MAX_BYTES` of a file are read, and nothing is followed. */
  async #text(path: string): Promise<string | undefined> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
    let file
    try {
      file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    }
    try {
      const stats = await file.stat()
      if (!stats.isFile()) throw new Error('it is no file')
      if (stats.size > MAX_BYTES) throw new Error(`it has ${stats.size} bytes`)
      if (this.#isOld(stats.mtimeMs)) throw new Error('it is older than a day')
      const bytes = Buffer.alloc(stats.size)
      const { bytesRead } = await file.read(bytes, 0, stats.size, 0)
      return bytes.toString('utf8', 0, bytesRead)
    } finally {
      await file.close()
    }
  }

  #isOld(mtimeMs: number): boolean {
    return this.#needs.clock.wall() - mtimeMs > DAY_MS
  }

  #sweepLater(): void {
    if (this.#closed) return
    this.#cancelSweep = this.#needs.clock.after(SWEEP_MS, () => {
      void this.#guard('old requests were not removed', () => this.#sweep(false)).then(() => this.#sweepLater())
    })
  }

  /** `first`: what a killed process was writing is of nobody now. */
  async #sweep(first: boolean): Promise<void> {
    const entries: { readonly path: string; readonly mtimeMs: number }[] = []
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name)
      const stats = await lstat(path).catch(() => undefined)
      if (stats === undefined || stats.isDirectory()) continue
      if (this.#isOld(stats.mtimeMs) || (first && name.endsWith('.tmp'))) await rm(path, { force: true })
      else if (NAME.test(name)) entries.push({ path, mtimeMs: stats.mtimeMs })
    }
    entries.sort((one, two) => two.mtimeMs - one.mtimeMs)
    for (const { path } of entries.slice(MAX_ENTRIES)) await rm(path, { force: true })
  }

  async #guard<Value>(what: string, work: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await work()
    } catch (error) {
      this.#needs.log(`the journal: ${what}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
}

/** Its own message would quote a prompt. */
function parse<Value>(of: z.ZodType<Value>, text: string): Value {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('it is no JSON')
  }
  const result = of.safeParse(value)
  if (!result.success) throw new Error(`it is no entry at ${result.error.issues[0]?.path.join('.') ?? ''}`)
  return result.data
}
