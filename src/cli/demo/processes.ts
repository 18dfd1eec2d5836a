/** The peer processes of `npm start`: real `weft up` processes with homes of their own. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import type { CliIo } from '../io.ts'
import { DemoPeerError } from './errors.ts'

export interface DemoPeer {
  readonly id: string
  readonly home: string
  readonly http: string | null
  readonly pid: number
  readonly child: ChildProcess
}

export interface DemoPeersInit {
  readonly root: string
  readonly count: number
  readonly network: string
  readonly threads: number
}

const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 8_000
const STDERR_KEPT = 2_000

/** All of them ready, or none left. @throws DemoPeerError */
export async function startPeers(io: CliIo, init: DemoPeersInit, signal: AbortSignal): Promise<DemoPeer[]> {
  const starting = Array.from({ length: init.count }, (_, index) => startPeer(io, init, index, signal))
  const settled = await Promise.allSettled(starting.map((peer) => peer.ready))
  const failed = settled.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await stopChildren(
      io,
      starting.map((peer) => peer.child),
    )
    throw failed.reason
  }
  return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

function startPeer(
  io: CliIo,
  init: DemoPeersInit,
  index: number,
  signal: AbortSignal,
): { child: ChildProcess; ready: Promise<DemoPeer> } {
  const home = join(init.root, `peer-${index + 1}`)
  const launcher = fileURLToPath(new URL('../../../bin/weft', import.meta.url))
  const options = [
    'up',
    '--json',
    // However this process ends, also by SIGKILL, its end of the pipe closes, and the peers end by themselves.
    '--while-stdin',
    '--home',
    home,
    '--network',
    init.network,
    '--lan',
    'open',
    '--threads',
    String(init.threads),
    ...(index === 0 ? [] : ['--http', 'off']),
  ]
  // A group of their own: Ctrl-C in the terminal is for this process, which then stops them in order.
  const child = spawn(process.execPath, [launcher, ...options], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  return { child, ready: readyPeer(io, child, home, index, signal) }
}

async function readyPeer(
  io: CliIo,
  child: ChildProcess,
  home: string,
  index: number,
  signal: AbortSignal,
): Promise<DemoPeer> {
  let stderr = ''
  child.stderr!.on('data', (chunk: Buffer) => (stderr = `${stderr}${chunk.toString()}`.slice(-STDERR_KEPT)))
  const lines = createInterface({ input: child.stdout! })
  const deadline = new AbortController()
  try {
    const line = await Promise.race([
      once(lines, 'line', { signal: deadline.signal }).then(([text]) => text as string),
      once(child, 'exit', { signal: deadline.signal }).then(() => undefined),
      io.clock.sleep(START_DEADLINE_MS, AbortSignal.any([signal, deadline.signal])).then(() => undefined),
    ])
    if (line === undefined) throw new DemoPeerError(index, stderr.trim().split('\n')[0] ?? 'it said nothing')
    const ready = JSON.parse(line) as {
      schema: string
      peer: string
      http: string | null
      pid: number
      error?: { message: string }
    }
    if (ready.schema !== 'weft.ready/1') throw new DemoPeerError(index, ready.error?.message ?? line)
    return { id: ready.peer, http: ready.http, pid: ready.pid, home, child }
  } finally {
    deadline.abort(new Error('ready'))
    lines.removeAllListeners()
  }
}

/** SIGTERM, so that they drain; what does not end in time is killed. */
export async function stopChildren(io: CliIo, children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const cancel = io.clock.after(STOP_DEADLINE_MS, () => child.kill('SIGKILL'))
      await ended
      cancel()
    }),
  )
}
