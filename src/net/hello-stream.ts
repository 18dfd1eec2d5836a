/** The greeting over a libp2p stream: bytes to frames, the conversation, frames to bytes, in one pipe. */
import type { Stream } from '@libp2p/interface'
import { messageStreamToDuplex } from '@libp2p/utils'
import { pipe } from 'it-pipe'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../util/index.ts'
import { HELLO_WAIT_MS, MAX_HELLO_BYTES } from './constants.ts'
import { HelloFailedError } from './discovery-errors.ts'
import { encodeFrame, FrameDecoder } from './frame.ts'
import type { Frame } from './frame.ts'
import { converse } from './hello.ts'
import type { HelloInit } from './hello.ts'

type Bytes = Uint8Array | Uint8ArrayList

/**
 * Runs one side to its end: joined, or refused by either. While a person has to decide it waits; everything else has
 * a deadline. The stream is closed then.
 */
export async function greet(clock: Clock, stream: Stream, init: Omit<HelloInit, 'now'>): Promise<void> {
  let cancel = clock.after(HELLO_WAIT_MS, () => {
    stream.abort(new HelloFailedError(init.remote, `it said nothing for ${HELLO_WAIT_MS / 1000} s`))
  })
  const waitForPerson = (): void => {
    cancel()
    cancel = () => undefined
  }
  const watched: HelloInit = {
    ...init,
    now: () => clock.now(),
    decision: () => {
      waitForPerson()
      return init.decision()
    },
    heard: (verdict) => {
      if (verdict.verdict === 'pending') waitForPerson()
      init.heard(verdict)
    },
  }
  limitBytes(stream, init.remote)
  const duplex = messageStreamToDuplex(stream)
  try {
    await pipe(duplex, decode, (source) => converse(source, watched), encode, duplex)
  } finally {
    cancel()
  }
}

/** The source of a piped stream queues without bound: who sends more than a greeting is cut off here. */
function limitBytes(stream: Stream, remote: string): void {
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    bytes += data.byteLength
    if (bytes > MAX_HELLO_BYTES) stream.abort(new HelloFailedError(remote, 'its greeting is too long'))
  })
}

async function* decode(source: AsyncIterable<Bytes>): AsyncGenerator<Frame> {
  const decoder = new FrameDecoder()
  for await (const bytes of source) yield* decoder.push(bytes.subarray())
}

async function* encode(source: AsyncIterable<Frame>): AsyncGenerator<Bytes> {
  for await (const one of source) yield new Uint8ArrayList(...encodeFrame(one))
}
