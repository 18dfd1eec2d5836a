/**
 * A child process that computes for its peer. It speaks frames over file descriptor 3 and ends by itself when that
 * socket does; what has become of it is told once, to all who wait for it or send to it.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { ChannelClosedError, channelToOwn } from '../../net/index.ts'
import type { Channel, Frame } from '../../net/index.ts'
import { codeCacheEnv } from '../../util/index.ts'
import type { Clock } from '../../util/index.ts'
import { StageHostLostError } from './host-errors.ts'
import { endsFirst, oomKills } from './out-of-memory.ts'
import { isStopped } from './stopped.ts'

/** Between the polite end and the certain one. */
const STOP_GRACE_MS = 1_000
/** Lines of a dying host that are worth keeping. */
const STDERR_BYTES = 4_096

export interface HostProcessNeeds {
  readonly clock: Clock
  /**
   * Folder in which Node keeps the host's compiled program: in a checkout it halves the time to start and saves 25 MB
   * of the host's memory. Of this user alone, since what lies there is run. NODE_COMPILE_CACHE comes first.
   */
  readonly codeCache: string
}

export interface HostProgram {
  /** For logs and errors. */
  readonly name: string
  readonly path: string
  readonly args?: readonly string[]
  /** A pipe on file descriptor 4 too, which closes with the peer: for a thread that the computing does not hold up. */
  readonly lifeline?: boolean
  /** Open files that it gets, from file descriptor 5 on; with a lifeline only. */
  readonly files?: readonly number[]
  readonly env?: Readonly<Record<string, string>>
}

export interface HostProcess {
  readonly pid: number
  onFrame(handler: (message: Frame) => void): void
  /** @throws StageHostLostError when it has gone: its socket may close before its end is told, and the end is the reason */
  send(message: Frame): Promise<void>
  /** Resolves with the reason when the process has ended, whoever ended it. */
  readonly ended: Promise<StageHostLostError>
  kill(): void
  /** Whether the system tells that it is stopped. @default where nothing tells: it is not */
  isStopped?(): boolean
  stop(): Promise<void>
}

/** How a host is made to run: a need, so that a simulated peer has its hosts in its own process. */
export type RunHostProcess = (needs: HostProcessNeeds, program: HostProgram) => HostProcess

export function startHostProcess({ clock, codeCache }: HostProcessNeeds, program: HostProgram): HostProcess {
  const args = ['--disable-warning=ExperimentalWarning', program.path, ...(program.args ?? [])]
  const child = spawn(process.execPath, args, {
    stdio: [
      ...(['ignore', 'ignore', 'pipe', 'pipe'] as const),
      ...(program.lifeline === true ? (['pipe', ...(program.files ?? [])] as const) : []),
    ],
    env: { ...program.env, ...process.env, ...codeCacheEnv(codeCache) },
  })
  if (child.pid !== undefined) endsFirst(child.pid)
  const channel = channelToOwn(child.stdio[3] as Socket, `${program.name} ${child.pid ?? '?'}`)
  const ended = endOf(child, channel)
  const kill = (): void => void child.kill('SIGKILL')
  return {
    pid: child.pid ?? 0,
    ended,
    onFrame: (handler) => channel.onFrame(handler),
    send: (message) =>
      channel.send(message).catch(async (error: unknown) => {
        if (!(error instanceof ChannelClosedError)) throw error
        // Without its socket it is of no use, should it live on.
        kill()
        throw await ended
      }),
    kill,
    isStopped: () => isStopped(child.pid ?? 0),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      // One that computes does not hear of it, and is killed.
      channel.close().catch(() => undefined)
      const cancel = clock.after(STOP_GRACE_MS, kill)
      await ended
      cancel()
    },
  }
}

function endOf(child: ChildProcess, channel: Channel): Promise<StageHostLostError> {
  let stderr = ''
  const before = oomKills() ?? 0
  child.stderr!.on('data', (chunk: Buffer) => (stderr = `${stderr}${chunk.toString()}`.slice(-STDERR_BYTES)))
  for (const stream of child.stdio) stream?.on('error', () => undefined)
  return new Promise((resolve) => {
    const end = (code: number | null, signal: string | null): void => {
      const killed = (oomKills() ?? 0) - before
      const error = new StageHostLostError(child.pid ?? 0, code, signal, stderr, killed)
      child.stdio[4]?.destroy()
      channel.abort(error)
      resolve(error)
    }
    child.once('exit', end)
    child.once('error', () => end(null, null))
  })
}
