/** Runs the site's own `npm` or `pip`, with its configuration: so its mirrors, proxies and credentials hold. */
import { spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import type { Clock } from '../../util/index.ts'

export interface ClientRun {
  readonly command: string
  readonly arguments: readonly string[]
  readonly directory: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

export type ClientResult =
  /** `output`: the end of what it wrote to its standard output. */
  | { readonly kind: 'ended'; readonly status: number; readonly lastLine: string; readonly output: string }
  | { readonly kind: 'missing' }

/** Of the output only the end is kept: the reason of a failure stands there. */
const KEPT_CHARACTERS = 8_192
/** After a polite end is asked for. */
const KILL_MS = 2_000

/** Rejects with the signal's reason when it is aborted; the client and its children are ended then. */
export function runClient(clock: Clock, run: ClientRun, signal: AbortSignal): Promise<ClientResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error)
      return
    }
    const child = spawn(run.command, run.arguments, {
      cwd: run.directory,
      env: run.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: pip and npm start children, which have to end with them.
      detached: process.platform !== 'win32',
      windowsHide: true,
    })
    let output = ''
    const keep = (text: string): void => {
      output = (output + text).slice(-KEPT_CHARACTERS)
    }
    let written = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      written = (written + text).slice(-KEPT_CHARACTERS)
      keep(text)
    })
    child.stderr.setEncoding('utf8').on('data', keep)
    let cancelKill = (): void => {}
    const stop = (): void => {
      end(child.pid, 'SIGTERM')
      cancelKill = clock.after(KILL_MS, () => end(child.pid, 'SIGKILL'))
    }
    signal.addEventListener('abort', stop, { once: true })
    const settle = (action: () => void): void => {
      signal.removeEventListener('abort', stop)
      cancelKill()
      if (signal.aborted) reject(signal.reason as Error)
      else action()
    }
    child.once('error', (error) =>
      settle(() => ('code' in error && error.code === 'ENOENT' ? resolve({ kind: 'missing' }) : reject(error))),
    )
    child.once('close', (status) =>
      settle(() => resolve({ kind: 'ended', status: status ?? 1, lastLine: lastLine(output), output: written })),
    )
  })
}

function end(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, name)
  } catch {
    // It has ended by itself.
  }
}

/** The last line that says something, fit to be printed. */
function lastLine(output: string): string {
  const lines = stripVTControlCharacters(output)
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(/\p{Cc}/gu, ' ').trim())
    .filter((line) => line !== '')
  const error = lines.findLast((line) => /error/i.test(line) && !/log of this run/.test(line))
  return (error ?? lines.at(-1) ?? 'no output').slice(0, 300)
}
