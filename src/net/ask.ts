/** One question and its answer over a channel. */
import type { Clock } from '../util/index.ts'
import type { Frame } from './frame.ts'
import type { Channel } from './types.ts'

/** The first frame that comes back. The channel stays open. @throws Error when it ends first, or after `wait` milliseconds */
export async function askOver(clock: Clock, channel: Channel, question: Frame, wait: number): Promise<Frame> {
  const { promise, resolve, reject } = Promise.withResolvers<Frame>()
  const cancel = clock.after(wait, () => reject(new Error('no answer')))
  channel.onFrame(resolve)
  void channel.closed.then((reason) => reject(reason ?? new Error('it hung up')))
  try {
    const [answer] = await Promise.all([promise, channel.send(question)])
    return answer
  } finally {
    cancel()
  }
}
