/** Reads the logs of a home: the last lines of all files in the order of time, and what is added after. */
import { open, readdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../util/index.ts'
import { parseLogLine } from './log-lines.ts'
import type { LogLine } from './log-lines.ts'

/** Read from the end of each file; at 200 bytes a line some 40,000 lines. */
const TAIL_BYTES = 8 * 2 ** 20
const POLL_MS = 250

/** Paths of the current log files; older ones (`weft.log.1`) are left out. */
export async function logFiles(home: string): Promise<string[]> {
  try {
    const names = await readdir(join(home, 'logs'))
    return names
      .filter((name) => name.endsWith('.log'))
      .sort()
      .map((name) => join(home, 'logs', name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** The last `count` lines that pass, merged by time; plain lines stay behind the line that they follow. */
export async function lastLines(home: string, count: number, passes: (line: LogLine) => boolean): Promise<LogLine[]> {
  const dated: { at: number; line: LogLine }[] = []
  for (const path of await logFiles(home)) {
    let at = 0
    for (const line of await tail(path)) {
      at = line.time ?? at
      if (passes(line)) dated.push({ at, line })
    }
  }
  const sorted = dated.sort((a, b) => a.at - b.at).map((entry) => entry.line)
  return count === 0 ? [] : sorted.slice(-count)
}

async function tail(path: string): Promise<LogLine[]> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - TAIL_BYTES)
    const lines = (await readSpan(file, from, size)).split('\n')
    // The first line is cut where the file is longer; after the last line feed comes nothing.
    if (from > 0) lines.shift()
    return lines.filter((line) => line !== '').map(parseLogLine)
  } finally {
    await file.close()
  }
}

async function readSpan(file: FileHandle, from: number, to: number): Promise<string> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(to - from), 0, to - from, from)
  return buffer.toString('utf8', 0, bytesRead)
}

/** Lines as they are written, from now on; a file that shrank was rotated and is read from its start. */
export async function* followLines(home: string, clock: Clock, signal: AbortSignal): AsyncIterable<LogLine> {
  const places = new Map<string, number>()
  for (const path of await logFiles(home)) places.set(path, await sizeOf(path))
  for (;;) {
    await clock.sleep(POLL_MS, signal)
    for (const path of await logFiles(home)) {
      const [lines, place] = await linesFrom(path, places.get(path) ?? 0)
      places.set(path, place)
      yield* lines
    }
  }
}

async function linesFrom(path: string, place: number): Promise<[lines: LogLine[], place: number]> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const from = size < place ? 0 : place
    const text = await readSpan(file, from, Math.min(size, from + TAIL_BYTES))
    const end = text.lastIndexOf('\n') + 1
    const whole = text.slice(0, end)
    return [
      whole
        .split('\n')
        .filter((line) => line !== '')
        .map(parseLogLine),
      from + Buffer.byteLength(whole),
    ]
  } finally {
    await file.close()
  }
}

async function sizeOf(path: string): Promise<number> {
  const file = await open(path, 'r')
  try {
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}
