/**
 * The program of a gradient host: a child process that makes the graph of one training run of another peer, and computes its
 * gradients (DESIGN decision 5). It speaks frames over file descriptor 3, is ended when it holds more than it may (the first
 * argument, in bytes), and ends by itself when its peer is gone.
 */
import { Socket } from 'node:net'
import { errorData } from '../../../errors.ts'
import { channelToOwn, encodeControl, frame } from '../../../net/index.ts'
import type { Channel } from '../../../net/index.ts'
import { guardProcess, systemClock } from '../../../util/index.ts'
import { SIGN_MS } from '../../adapters/host/signs-of-life.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import { GRADIENT_HOST, MAX_GRADIENT_BYTES } from './protocol.ts'
import { GradientRuntime } from './runtime.ts'
import type { Answer } from './runtime.ts'

const PEER_SOCKET = 3

function main(): void {
  guardProcess({ memory: Number(process.argv[2]) })
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const reader = new MessageReader(MAX_GRADIENT_BYTES)
  const runtime = new GradientRuntime()
  channel.onFrame((part) => {
    const message = reader.take(part)
    if (message !== null) answer(channel, message, runtime.ask(message))
  })
  signs(channel).catch(() => undefined)
  // The peer is gone: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

/** A run of a batch holds them up: the peer counts with that. */
async function signs(channel: Channel): Promise<void> {
  for (const clock = systemClock(); ;) {
    await clock.sleep(SIGN_MS)
    await channel.send(frame({ type: GRADIENT_HOST.alive }))
  }
}

function answer(channel: Channel, { head: { request } }: Message, made: Promise<Answer>): void {
  made
    .then(({ control, tensors }) => {
      const frames = messageFrames({ type: GRADIENT_HOST.done, request, control }, tensors)
      return Promise.all(Array.from(frames, (part) => channel.send(part)))
    })
    .catch((error: unknown) =>
      channel.send(frame({ type: GRADIENT_HOST.failed, request, control: encodeControl(errorData(error)) })),
    )
    .catch(() => undefined)
}

main()
