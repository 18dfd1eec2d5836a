/** `weft up --detach`: the same command in a process of its own, watched through its log until it is ready. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ErrorData } from '../errors.ts'
import { makeFolders } from '../store/index.ts'
import type { CommandContext } from './context.ts'
import { deadlineSignal } from './deadline.ts'
import { CannotWriteError, PeerDidNotStartError } from './errors.ts'
import { forwarded } from './error-tables.ts'
import { runningStatus } from './peer-access.ts'
import { readyLines } from './ready.ts'
import type { ReadyDocument } from './ready.ts'
import { waiting } from './waiting.ts'

const POLL_MS = 100
/** A start that takes longer has something wrong with it; --timeout says otherwise. */
const READY_MS = 120_000
/** Enough for all that a start may print; more is not looked at. */
const LOG_READ_MAX = 1 << 20

export async function detach(context: CommandContext): Promise<void> {
  const { flags, home, io, out } = context
  const limit = flags.number('timeout') ?? READY_MS
  const signal = deadlineSignal(context, 'the start of the peer', READY_MS)
  const log = join(home, 'logs', 'up.log')
  const [output, offset] = await openLog(log)
  const options = flags.tokens(['detach', 'foreground', 'json', 'jsonl', 'home', 'timeout', 'quiet'])
  const args = [...io.self.slice(1), 'up', '--foreground', '--json', `--home=${home}`, ...options]
  const child = spawn(io.self[0] ?? process.execPath, args, { detached: true, stdio: ['ignore', output, output] })
  closeSync(output)
  const wait = waiting(io, out, `the peer to start (it writes to ${log})`, limit)
  try {
    const ready = await readyOf(context, child, log, offset, signal)
    if (out.structured) out.document(ready)
    else {
      const status = await runningStatus(io, home, signal)
      if (status !== null) out.lines(readyLines(status, out))
      out.note(`it goes on in the background as process ${ready.pid}: weft down stops it`)
    }
    child.unref()
  } catch (error) {
    child.kill('SIGTERM')
    throw error
  } finally {
    wait.end()
  }
}

async function openLog(path: string): Promise<[descriptor: number, offset: number]> {
  try {
    await makeFolders(dirname(path), 0o700)
    const descriptor = openSync(path, 'a', 0o600)
    return [descriptor, (await stat(path)).size]
  } catch (error) {
    throw new CannotWriteError(path, error)
  }
}

/** The child prints `weft.ready/1` or `weft.error/1` on its stdout, which is the log. */
async function readyOf(
  { io }: CommandContext,
  child: ChildProcess,
  log: string,
  offset: number,
  signal: AbortSignal,
): Promise<ReadyDocument> {
  let ended: string | undefined
  child.once(
    'exit',
    (status, name) => (ended = name === null ? `it ended with status ${status}` : `it was ended by ${name}`),
  )
  child.once('error', (error) => (ended = error.message))
  await Promise.race([once(child, 'spawn', { signal }), once(child, 'error', { signal })])
  for (;;) {
    // Looked at before the log, so that what an ended child wrote last is not missed.
    const over = ended
    for (const line of await linesSince(log, offset)) {
      const document = documentOf(line)
      if (document?.schema === 'weft.ready/1') return document as unknown as ReadyDocument
      if (document?.schema === 'weft.error/1') throw await forwarded(document.error as ErrorData)
    }
    if (over !== undefined) throw new PeerDidNotStartError(over, log)
    await io.clock.sleep(POLL_MS, signal)
  }
}

function documentOf(line: string): { schema?: unknown; error?: unknown } | null {
  if (!line.startsWith('{"schema":"weft.')) return null
  try {
    return JSON.parse(line) as { schema?: unknown }
  } catch {
    return null
  }
}

async function linesSince(path: string, offset: number): Promise<string[]> {
  const file = await open(path, 'r')
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(LOG_READ_MAX), 0, LOG_READ_MAX, offset)
    return buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1)
  } finally {
    await file.close()
  }
}
