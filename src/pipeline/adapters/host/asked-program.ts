/** The other end of an AskedHost: what a child process does that is asked in messages of tensors over file descriptor 3. */
import { Socket } from 'node:net'
import { errorData } from '../../../errors.ts'
import { channelToOwn, encodeControl, frame } from '../../../net/index.ts'
import type { Channel } from '../../../net/index.ts'
import { systemClock } from '../../../util/index.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import { ASKED } from './asked-host.ts'
import { SIGN_MS } from './signs-of-life.ts'

const PEER_SOCKET = 3

export interface Answer {
  readonly control: Readonly<Record<string, unknown>>
  readonly tensors: Tensors
}

/** Ends with the peer. @param most bytes of one message */
export function answerPeer(most: number, ask: (message: Message) => Promise<Answer>): void {
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const reader = new MessageReader(most)
  channel.onFrame((part) => {
    const message = reader.take(part)
    if (message !== null) answer(channel, message, ask(message))
  })
  signs(channel).catch(() => undefined)
  // The peer is gone: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

/** A run holds them up: the peer counts with that. */
async function signs(channel: Channel): Promise<void> {
  for (const clock = systemClock(); ;) {
    await clock.sleep(SIGN_MS)
    await channel.send(frame({ type: ASKED.alive }))
  }
}

function answer(channel: Channel, { head: { request } }: Message, made: Promise<Answer>): void {
  made
    .then(({ control, tensors }) => {
      const frames = messageFrames({ type: ASKED.done, request, control }, tensors)
      return Promise.all(Array.from(frames, (part) => channel.send(part)))
    })
    .catch((error: unknown) =>
      channel.send(frame({ type: ASKED.failed, request, control: encodeControl(errorData(error)) })),
    )
    .catch(() => undefined)
}
