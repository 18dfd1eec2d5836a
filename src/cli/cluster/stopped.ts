/** Waits until the peer of a home has ended. */
import { homePaths, lockHolder } from '../../peer/index.ts'
import type { CommandContext } from '../context.ts'
import { WaitTimedOutError } from '../errors.ts'

const STOP_MS = 20_000
const POLL_MS = 50

export async function stopped({ home, io }: CommandContext): Promise<void> {
  const { lock } = homePaths(home, io.env)
  const until = io.clock.now() + STOP_MS
  while ((await lockHolder(lock)) !== undefined) {
    if (io.clock.now() > until)
      throw new WaitTimedOutError('the end of the peer', `${STOP_MS / 1000}s`, 'it still runs')
    await io.clock.sleep(POLL_MS)
  }
}
