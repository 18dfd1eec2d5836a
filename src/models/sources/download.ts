/** HTTP downloads that go on where they stopped: the part on disk, and beside it what the server called that version. */
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { availableBytes, DiskFullError, explainDisk, writeAll, writeFileAtomic } from '../../store/index.ts'
import type { Clock } from '../../util/index.ts'
import { FetchError } from '../errors.ts'
import { startWait } from './deadline.ts'
import type { Wait } from './deadline.ts'
import { beginsAsPage, pageInstead } from './error-page.ts'
import type { ProgressListener } from './progress.ts'
import { bodyChunks, planTransfer } from './transfer.ts'
import type { Transfer, Validator } from './transfer.ts'

export interface DownloadNeeds {
  readonly clock: Clock
  /** Folder of the mesh home for what is under way. */
  readonly downloads: string
  /** @default the global one */
  readonly fetch?: typeof fetch
}

export interface DownloadRequest {
  readonly url: URL
  /** What to call it in messages. */
  readonly source: string
  readonly headers?: Readonly<Record<string, string>>
  /** Where the complete file goes. @default a name made of the URL, in the downloads folder */
  readonly target?: string
}

/** A server that says nothing for so long is taken for dead; slow ones still send something. */
const STALL_MS = 30_000
/** A connection that broke is taken up again so often, each time where it stopped. */
const ATTEMPTS = 4
/** Where nothing ever came, once more: the next source may be better than patience. */
const SILENT_ATTEMPTS = 2
const PAUSE_MS = 1_000
/** Larger than any model file. */
const MAX_BYTES = 2 ** 42

/**
 * The path of the complete file; the caller removes it.
 * @throws FetchError, DiskFullError
 */
export async function download(
  needs: DownloadNeeds,
  request: DownloadRequest,
  onProgress: ProgressListener,
  signal?: AbortSignal,
): Promise<string> {
  await mkdir(needs.downloads, { recursive: true, mode: 0o700 })
  const target = request.target ?? join(needs.downloads, `${downloadKey(request.url.href)}.model`)
  if ((await stat(target).catch(() => null)) !== null) return target
  let moved = false
  const listen: ProgressListener = (progress) => {
    moved = true
    onProgress(progress)
  }
  for (let attempt = 1; ; attempt++) {
    const wait = startWait(needs.clock, request.source, { stall: STALL_MS }, signal)
    try {
      await transfer(needs, request, target, wait, listen)
      return target
    } catch (error) {
      signal?.throwIfAborted()
      const permanent = error instanceof DiskFullError || (error instanceof FetchError && error.final)
      if (permanent || attempt === (moved ? ATTEMPTS : SILENT_ATTEMPTS)) throw explain(error, request.source)
    } finally {
      wait.end()
    }
    await needs.clock.sleep(PAUSE_MS * attempt, signal)
  }
}

/** A name for what comes from there. */
export function downloadKey(place: string): string {
  return createHash('sha256').update(place).digest('hex').slice(0, 24)
}

function explain(error: unknown, source: string): unknown {
  if (error instanceof DiskFullError || error instanceof FetchError) return error
  // fetch hides the reason ("fetch failed") one level down.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return new FetchError(source, cause instanceof Error ? cause.message : String(cause), { cause: error })
}

async function transfer(
  needs: DownloadNeeds,
  request: DownloadRequest,
  target: string,
  wait: Wait,
  onProgress: ProgressListener,
): Promise<void> {
  const part = `${target}.part`
  const note = `${target}.part.json`
  const have = (await stat(part).catch(() => null))?.size ?? 0
  const validator = have === 0 ? null : await readNote(note)
  const plan = await planTransfer(needs.fetch ?? fetch, request, have, validator, wait.signal)
  if (plan.total !== null) await checkRoom(needs.downloads, plan.total, plan.from)
  const chunks = bodyChunks(plan.response)
  const first = await chunks.next()
  if (plan.from === 0) {
    // What is on disk stays until something better has come.
    if (first.done !== true && beginsAsPage(first.value)) {
      await chunks.return(undefined)
      throw pageInstead(request.source)
    }
    await rm(part, { force: true })
  }
  await writeFileAtomic(note, JSON.stringify(plan.validator))
  const told = (done: number): void =>
    onProgress({ type: 'progress', task: `fetching ${request.source}`, done, total: plan.total, unit: 'bytes' })
  const done = await receive(plan, joined(first, chunks), part, wait, told, needs.downloads)
  if (plan.total !== null && done !== plan.total)
    throw new Error(`the connection ended after ${done} of ${plan.total} bytes`)
  await rename(part, target)
  await rm(note, { force: true })
}

async function checkRoom(directory: string, total: number, from: number): Promise<void> {
  if (total > MAX_BYTES) throw new DiskFullError(directory, total, 0)
  const free = await availableBytes(directory)
  if (total - from > free) throw new DiskFullError(directory, total - from, free)
}

async function* joined<T>(first: IteratorResult<T, void>, rest: AsyncIterable<T>): AsyncIterable<T> {
  if (first.done !== true) yield first.value
  yield* rest
}

/** What came stays on disk, however it ends: the next try goes on there. */
async function receive(
  plan: Transfer,
  chunks: AsyncIterable<Uint8Array>,
  part: string,
  wait: Wait,
  told: (done: number) => void,
  directory: string,
): Promise<number> {
  const handle = await open(part, plan.from === 0 ? 'w' : 'r+', 0o600)
  let done = plan.from
  try {
    for await (const chunk of chunks) {
      wait.signal.throwIfAborted()
      if (done + chunk.length > (plan.total ?? MAX_BYTES)) throw new Error('more bytes came than were announced')
      await writeAll(handle, chunk, done)
      done += chunk.length
      wait.moved()
      told(done)
    }
    await handle.sync()
    return done
  } catch (error) {
    throw wait.signal.aborted ? (wait.signal.reason as Error) : await explainDisk(error, directory, plan.total ?? done)
  } finally {
    await handle.close()
  }
}

async function readNote(path: string): Promise<Validator | null> {
  try {
    const note: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof note !== 'object' || note === null || !('value' in note) || typeof note.value !== 'string') return null
    return { value: note.value }
  } catch {
    return null
  }
}
