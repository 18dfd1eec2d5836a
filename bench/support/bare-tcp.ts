/** The baseline of the benchmarks of channels: bytes there and back over a plain socket. */
import type { Socket } from 'node:net'

/** Sends a payload and resolves when as many bytes have come back; one at a time. */
export function bareTrip(socket: Socket): (payload: Uint8Array) => Promise<void> {
  let missing = 0
  let done = (): void => undefined
  socket.setNoDelay(true).on('data', (bytes: Buffer) => {
    missing -= bytes.length
    if (missing <= 0) done()
  })
  return (payload) =>
    new Promise((resolve) => {
      missing = payload.length
      done = resolve
      socket.write(payload)
    })
}
