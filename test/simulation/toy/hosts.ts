/** Stage hosts in the process of the simulation, over frames as a child process has them. */
import { StageHostLostError } from '../../../src/pipeline/host/host-errors.ts'
import type { HostProcess } from '../../../src/pipeline/host/host-process.ts'
import { HostServer } from '../../../src/pipeline/host/serve.ts'
import type { Frame } from '../../../src/net/index.ts'
import type { RunHostProcess } from '../../../src/pipeline/index.ts'
import { SimulatedProcess } from '../process.ts'
import type { Scheduler } from '../scheduler.ts'
import type { Bits } from './mix.ts'
import { ToyParts } from './parts.ts'
import type { Speed } from './parts.ts'

/** From process to process on one machine. */
const SOCKET_MS = 0.05
const START_MS = 80
export const TOY_KERNEL = 'toy'

export interface ToyHost {
  readonly pid: number
  /** Computes no more, and does not end either. */
  wedge(): void
  /** Ends by itself. */
  crash(): void
}

export interface ToyHostsInit {
  readonly scheduler: Scheduler
  /** Of the peer: its hosts end and freeze with it. */
  readonly process: SimulatedProcess
  readonly nextPid: () => number
  readonly speed: () => Speed
  readonly twist?: (row: Bits) => Bits
}

export class ToyHosts {
  readonly #init: ToyHostsInit
  readonly #running = new Set<ToyHost>()

  constructor(init: ToyHostsInit) {
    this.#init = init
  }

  get running(): readonly ToyHost[] {
    return [...this.#running]
  }

  readonly run: RunHostProcess = () => {
    const { process, scheduler, nextPid, speed, twist } = this.#init
    const pid = nextPid()
    const own = new SimulatedProcess(scheduler)
    const { promise: ended, resolve } = Promise.withResolvers<StageHostLostError>()
    let handler: (message: Frame) => void = () => undefined
    const end = (code: number | null, signal: string | null): void => {
      if (own.isDead) return
      own.kill()
      this.#running.delete(host)
      resolve(new StageHostLostError(pid, code, signal))
    }
    const host: ToyHost = { pid, wedge: () => own.freeze(), crash: () => end(134, null) }
    this.#running.add(host)
    let parts: ToyParts | undefined
    const server = new HostServer({
      clock: under(process, own),
      kernel: TOY_KERNEL,
      emit: (message) => void process.after(SOCKET_MS, () => handler(copied(message))),
      createParts: async (_control, manifest) => {
        parts = new ToyParts({ clock: under(process, own), manifest, speed, ...(twist === undefined ? {} : { twist }) })
        return parts
      },
      resident: () => parts?.resident ?? 0,
    })
    const startedAt = scheduler.now + START_MS
    const faced: HostProcess = {
      pid,
      ended,
      onFrame: (set) => (handler = set),
      send: async (message) => {
        if (own.isDead) throw await ended
        const wait = Math.max(SOCKET_MS, startedAt - scheduler.now)
        process.after(wait, () => own.run(() => void server.onFrame(copied(message))))
      },
      kill: () => end(null, 'SIGKILL'),
      stop: async () => end(0, null),
    }
    return faced
  }
}

/** Time of the host: runs while both it and its peer do. */
function under(peer: SimulatedProcess, own: SimulatedProcess): SimulatedProcess {
  const clock = Object.create(own) as SimulatedProcess
  clock.after = (milliseconds, action) => peer.after(milliseconds, () => own.run(action))
  clock.now = () => peer.now()
  clock.wall = () => peer.wall()
  clock.sleep = (milliseconds) =>
    new Promise((resolve) => {
      clock.after(milliseconds, resolve)
    })
  return clock
}

function copied(message: Frame): Frame {
  return { ...message, payload: message.payload.slice(), control: message.control.slice() }
}
