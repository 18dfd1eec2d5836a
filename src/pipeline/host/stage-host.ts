/** A stage host as its peer sees it: a child process that is loaded, given frames, watched and ended. */
import { fileURLToPath } from 'node:url'
import type { ErrorData } from '../../errors.ts'
import { decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { StageHostError } from './host-errors.ts'
import type { StageHostLostError } from './host-errors.ts'
import { startHostProcess } from './host-process.ts'
import type { HostProcess, HostProcessNeeds, RunHostProcess } from './host-process.ts'
import { HOST } from './protocol.ts'
import type { HostStats, LoadControl, LoadedControl } from './protocol.ts'
import { Watchdog } from './watchdog.ts'

/** A first load packs weights, about 100 MB a second; nothing that a peer can hold takes longer. */
const LOAD_DEADLINE_MS = 600_000
const STATS_DEADLINE_MS = 2_000

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

/** Starts the child process; nothing is loaded yet. */
export function startStageHost(needs: HostProcessNeeds, run: RunHostProcess = startHostProcess): StageHost {
  const host = run(needs, { name: 'stage host', path: hostProgram() })
  const calls = new Calls(needs.clock, host)
  let handler: (message: Frame) => void = () => undefined
  // Its end tells the sessions; what follows is as after any other death of a host.
  const watchdog = new Watchdog(
    needs.clock,
    () => host.kill(),
    undefined,
    () => host.isStopped?.() === true,
  )
  void host.ended.then(() => watchdog.stop())
  host.onFrame((message) => {
    if (calls.answer(message)) return
    if (message.type === HOST.loading) return watchdog.loading(message.flags === 1)
    if (message.type === HOST.error) watchdog.forget(message.request)
    else if (message.type === HOST.opened) watchdog.opened(message.request)
    else watchdog.answered(message.request, message.rows)
    handler(message)
  })
  return {
    pid: host.pid,
    ended: host.ended,
    load: async (control) => (await calls.call(HOST.load, LOAD_DEADLINE_MS, control)) as LoadedControl,
    stats: async () => (await calls.call(HOST.stats, STATS_DEADLINE_MS, null)) as HostStats,
    send: (message) => {
      if (message.type === HOST.open) watchdog.given(message.request, 0)
      else if (message.type === HOST.run) watchdog.given(message.request, message.dims[0] ?? 1)
      else if (message.type === HOST.close) watchdog.forget(message.request)
      return host.send(message)
    },
    onFrame: (set) => (handler = set),
    stop: () => host.stop(),
  }
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}

/** Questions to the host that are answered under their own request number. */
class Calls {
  readonly #clock: Clock
  readonly #host: HostProcess
  readonly #waiting = new Map<number, (message: Frame) => void>()
  #next = 1

  constructor(clock: Clock, host: HostProcess) {
    this.#clock = clock
    this.#host = host
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
      await this.#host.send(frame({ type, request, control: encodeControl(control) }))
      const result = await Promise.race([answer, this.#host.ended, late])
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
