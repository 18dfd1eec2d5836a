/** Numbers of requests, and tokens as they come in frames. */
import type { Frame } from '../../net/index.ts'
import type { RandomSource } from '../../util/index.ts'
import { MAX_GUESSES } from '../ring/guesses.ts'
import type { decodeToken } from '../ring/protocol.ts'
import type { TokenArrival } from './session.ts'

/** Below 2^53, from the random source, never 0. */
export function requestNumber(random: RandomSource): number {
  const bytes = random.bytes(8)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return (view.getUint32(0) & 0x1fffff) * 4294967296 + view.getUint32(4) + 1
}

export interface TokenArrivals {
  /** The row that the first follows; each other one follows the next row. */
  readonly row: number
  readonly tokens: readonly TokenArrival[]
}

/** Undefined: it is none that a head says. */
export function arrivals(message: Frame, control: ReturnType<typeof decodeToken>): TokenArrivals | undefined {
  const { position, rows, payload } = message
  const count = control.first === undefined ? 1 : payload.length / 4
  const row = control.first ?? position + rows - 1
  if (!Number.isInteger(count) || count < 1 || count > MAX_GUESSES + 1 || row < position) return undefined
  if (row + count > position + rows) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const tokens = Array.from({ length: count }, (_, index): TokenArrival => {
    const { logprob, top } = control.each?.[index] ?? control
    return {
      id: view.getInt32(4 * index, true),
      computeMs: message.micros / 1000,
      ...(logprob === undefined ? {} : { logprob }),
      ...(top === undefined ? {} : { top: top.map(([id, value]) => ({ id, logprob: value })) }),
    }
  })
  return { row, tokens }
}
