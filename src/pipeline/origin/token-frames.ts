/** Numbers of requests, and tokens as they come in frames. */
import type { Frame } from '../../net/index.ts'
import type { RandomSource } from '../../util/index.ts'
import type { decodeToken } from '../ring/protocol.ts'
import type { TokenArrival } from './session.ts'

/** Below 2^53, from the random source, never 0. */
export function requestNumber(random: RandomSource): number {
  const bytes = random.bytes(8)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return (view.getUint32(0) & 0x1fffff) * 4294967296 + view.getUint32(4) + 1
}

export function arrival(message: Frame, control: ReturnType<typeof decodeToken>): TokenArrival {
  const id = new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
  const top = control.top?.map(([token, logprob]) => ({ id: token, logprob }))
  return {
    id,
    computeMs: message.micros / 1000,
    ...(control.logprob === undefined ? {} : { logprob: control.logprob }),
    ...(top === undefined ? {} : { top }),
  }
}
