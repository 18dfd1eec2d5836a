/** A stage host as its peer sees it: a child process that is loaded, given frames, watched and ended. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { ErrorData } from '../../errors.ts'
import { ChannelClosedError, channelToOwn, decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { StageHostError, StageHostLostError } from './host-errors.ts'
import { HOST } from './protocol.ts'
import type { HostStats, LoadControl, LoadedControl } from './protocol.ts'
import { Watchdog } from './watchdog.ts'

/** A first load packs weights, about 100 MB a second; nothing that a peer can hold takes longer. */
const LOAD_DEADLINE_MS = 600_000
const STATS_DEADLINE_MS = 2_000
/** Between the polite end and the certain one. */
const STOP_GRACE_MS = 1_000
/** Lines of a dying host that are worth keeping. */
const STDERR_BYTES = 4_096

export interface StageHost {
  readonly pid: number
  /** Has these ranges ready beside what is loaded already; sessions go on. @throws StageHostError, StageHostLostError */
  load(control: LoadControl): Promise<LoadedControl>
  send(message: Frame): Promise<void>
  /** The frames of sessions. */
  onFrame(handler: (message: Frame) => void): void
  stats(): Promise<HostStats>
  /** Resolves with the reason when the process has ended, whoever ended it. */
  readonly ended: Promise<StageHostLostError>
  stop(): Promise<void>
}

export interface StageHostNeeds {
  readonly clock: Clock
  /**
   * Folder in which Node keeps the host's compiled program: in a checkout it halves the time to start and saves 25 MB
   * of the host's memory. Of this user alone, since what lies there is run.
   */
  readonly codeCache: string
}

/** Starts the child process; nothing is loaded yet. */
export function startStageHost(needs: StageHostNeeds): StageHost {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', hostProgram()], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: needs.codeCache },
  })
  const channel = channelToOwn(child.stdio[3] as Socket, `stage host ${child.pid ?? '?'}`)
  const ended = endOf(child, channel)
  const calls = new Calls(needs.clock, channel, ended)
  let handler: (message: Frame) => void = () => undefined
  // Its end tells the sessions; what follows is as after any other death of a host.
  const watchdog = new Watchdog(needs.clock, () => child.kill('SIGKILL'))
  void ended.then(() => watchdog.stop())
  channel.onFrame((message) => {
    if (calls.answer(message)) return
    if (message.type === HOST.error) watchdog.forget()
    else watchdog.answered(message.rows)
    handler(message)
  })
  return {
    pid: child.pid ?? 0,
    ended,
    load: async (control) => (await calls.call(HOST.load, LOAD_DEADLINE_MS, control)) as LoadedControl,
    stats: async () => (await calls.call(HOST.stats, STATS_DEADLINE_MS, null)) as HostStats,
    send: (message) => {
      if (message.type === HOST.run) watchdog.given(message.dims[0] ?? 1)
      else if (message.type === HOST.close) watchdog.forget()
      return channel.send(message).catch(async (error: unknown) => {
        if (!(error instanceof ChannelClosedError)) throw error
        // Its socket can be gone before its end is told, and the end is the reason. Without one it is of no use.
        child.kill('SIGKILL')
        throw await ended
      })
    },
    onFrame: (set) => (handler = set),
    stop: () => stop(needs.clock, child, channel, ended),
  }
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}

function endOf(child: ChildProcess, channel: Channel): Promise<StageHostLostError> {
  let stderr = ''
  child.stderr!.on('data', (chunk: Buffer) => (stderr = `${stderr}${chunk.toString()}`.slice(-STDERR_BYTES)))
  return new Promise((resolve) => {
    const end = (code: number | null, signal: string | null): void => {
      const error = new StageHostLostError(child.pid ?? 0, code, signal, stderr)
      channel.abort(error)
      resolve(error)
    }
    child.once('exit', end)
    child.once('error', () => end(null, null))
  })
}

async function stop(clock: Clock, child: ChildProcess, channel: Channel, ended: Promise<Error>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  // The host ends when its socket does; a wedged one is killed.
  channel.close().catch(() => undefined)
  const cancel = clock.after(STOP_GRACE_MS, () => child.kill('SIGKILL'))
  await ended
  cancel()
}

/** Questions to the host that are answered under their own request number. */
class Calls {
  readonly #clock: Clock
  readonly #channel: Channel
  readonly #ended: Promise<StageHostLostError>
  readonly #waiting = new Map<number, (message: Frame) => void>()
  #next = 1

  constructor(clock: Clock, channel: Channel, ended: Promise<StageHostLostError>) {
    this.#clock = clock
    this.#channel = channel
    this.#ended = ended
  }

  async call(type: number, deadline: number, control: unknown): Promise<unknown> {
    const request = this.#next++
    const timer = new AbortController()
    const answer = new Promise<Frame>((resolve) => this.#waiting.set(request, resolve))
    const late = this.#clock.sleep(deadline, timer.signal).then(
      () => new StageHostError('the stage host does not answer', { seconds: deadline / 1000 }),
      () => new StageHostError('the call is over', {}),
    )
    try {
      await this.#channel.send(frame({ type, request, control: encodeControl(control) }))
      const result = await Promise.race([answer, this.#ended, late])
      if (result instanceof Error) throw result
      if (result.type === HOST.refused) throw refusal(result)
      return decodeControl(result.control)
    } finally {
      this.#waiting.delete(request)
      timer.abort()
    }
  }

  answer(message: Frame): boolean {
    if (message.type !== HOST.loaded && message.type !== HOST.refused && message.type !== HOST.statsReply) return false
    this.#waiting.get(message.request)?.(message)
    return true
  }
}

function refusal(message: Frame): StageHostError {
  const data = decodeControl(message.control) as ErrorData
  return new StageHostError(data.message, { code: data.code, why: data.why, ...data.details })
}
