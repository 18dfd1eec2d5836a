/**
 * The relay's part of a circuit: bytes of one stream become bytes of another, both ways. A side that does not read
 * stops the other one, so a circuit holds a window each way and no more (libp2p's own relay queues without bound).
 */
import type { Stream } from '@libp2p/interface'
import type { CancelTimer, Clock } from '../util/index.ts'
import { CIRCUIT_STALL_MS, CIRCUIT_WAIT_MS } from './constants.ts'

export interface SpliceInit {
  readonly clock: Clock
  readonly bytes?: number | undefined
  readonly milliseconds?: number | undefined
  carried(bytes: number): void
  /** Once, when both streams are over. */
  ended(): void
}

export function splice(left: Stream, right: Stream, init: SpliceInit): { end(why: string): void } {
  const timers = new Set<CancelTimer>()
  let bytes = 0
  let open = true
  const end = (why: string): void => {
    if (!open) return
    open = false
    for (const cancel of timers) cancel()
    timers.clear()
    const reason = new Error(`the circuit has ended: ${why}`)
    left.abort(reason)
    right.abort(reason)
    init.ended()
  }
  const after = (milliseconds: number, action: () => void): CancelTimer => {
    const cancel = init.clock.after(milliseconds, () => {
      timers.delete(cancel)
      action()
    })
    timers.add(cancel)
    return () => {
      timers.delete(cancel)
      cancel()
    }
  }
  if (init.milliseconds !== undefined) after(init.milliseconds, () => end('its time is over'))
  const carry = (from: Stream, to: Stream): void => {
    let full = false
    let stalled: CancelTimer | undefined
    const settle = (): void => {
      queueMicrotask(() => {
        if (full && from.readStatus === 'readable') from.pause()
        if (!full && from.readStatus === 'paused') from.resume()
      })
    }
    from.addEventListener('message', ({ data }) => {
      bytes += data.byteLength
      init.carried(data.byteLength)
      if (init.bytes !== undefined && bytes > init.bytes) return end('it has carried what it may')
      if (!open) return
      try {
        if (to.send(data) || !to.writableNeedsDrain) return
      } catch {
        return end('the other side has left')
      }
      full = true
      stalled ??= after(CIRCUIT_STALL_MS, () => end('nobody reads'))
      settle()
    })
    to.addEventListener('drain', () => {
      queueMicrotask(() => {
        if (!full || to.writableNeedsDrain) return
        full = false
        stalled?.()
        stalled = undefined
        settle()
      })
    })
    from.addEventListener('end', () => void to.close().catch(() => end('the other side has left')))
    from.addEventListener('close', (event) => {
      if (event.error !== undefined) end('one side has left')
      else if (left.status !== 'open' && right.status !== 'open') end('both sides are done')
      else after(CIRCUIT_WAIT_MS, () => end('one side has left'))
    })
  }
  carry(left, right)
  carry(right, left)
  if (left.status !== 'open' || right.status !== 'open') queueMicrotask(() => end('one side has left'))
  return { end }
}
