/** Ctrl-C at any moment: the first asks the command to stop, the second ends the process. */
import { InterruptedError } from './errors.ts'
import type { CliIo, Signal } from './io.ts'

/** The launcher and the terminal may each deliver the same Ctrl-C. */
const ONE_PRESS_MS = 250
/** A command that was asked to stop is cut off after this long. */
const GRACE_MS = 5000

export interface Interrupts {
  readonly signal: AbortSignal
  /** From now on signals go to this listener alone, each press once: for verbs that have their own way of ending. */
  takeOver(listener: (name: Signal) => void): void
  end(): void
}

export function watchInterrupts(io: CliIo): Interrupts {
  const controller = new AbortController()
  let cancelGrace = (): void => {}
  let listener = stopCommand
  let last: { name: Signal; at: number } | undefined

  function stopCommand(name: Signal): void {
    if (controller.signal.aborted) {
      io.abort(statusOf(name))
      return
    }
    controller.abort(new InterruptedError(name))
    cancelGrace = io.clock.after(GRACE_MS, () => io.abort(statusOf(name)))
  }

  const endSignals = io.onSignal((name) => {
    const now = io.clock.now()
    if (last !== undefined && last.name === name && now - last.at < ONE_PRESS_MS) return
    last = { name, at: now }
    listener(name)
  })
  // A reader that has seen enough (`weft ls | head -1`) is no failure.
  const brokenPipe = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') controller.abort(new InterruptedError('EPIPE'))
  }
  io.stdout.on('error', brokenPipe)
  return {
    signal: controller.signal,
    takeOver: (taker) => {
      listener = taker
    },
    end() {
      endSignals()
      cancelGrace()
      io.stdout.off('error', brokenPipe)
    },
  }
}

/** 128 and the number of the signal, as shells have it. */
export function statusOf(name: Signal): number {
  return { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[name]
}
