/** weft down: asks the peer to stop, and returns when its process has ended. */
import { readFileSync } from 'node:fs'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { PeerSilentError, WaitTimedOutError } from '../errors.ts'
import { formatSpan, plural } from '../format.ts'
import { runningStatus } from '../peer-access.ts'
import { waiting } from '../waiting.ts'

const DRAIN_MS = 30_000
/** Beyond the drain: stages end, records are written. */
const STOP_MS = 15_000
const POLL_MS = 100

export const command: Command = async (context) => {
  const { flags, io, out, signal } = context
  const access = await openFor(context, 'never')
  const status = await access.status(signal)
  const drain = flags.number('drain') ?? DRAIN_MS
  await access.shutdown(drain, signal)
  const inFlight = status.requests.length
  const what = inFlight === 0 ? 'the peer to stop' : `${plural(inFlight, 'answer')} in flight`
  const wait = waiting(io, out, what, drain + STOP_MS)
  context.defer(() => wait.end())
  await ended(context, status.peer.pid, drain + STOP_MS)
  wait.end()
  if (out.structured) out.document({ schema: 'weft.down/1', peer: status.peer.id, pid: status.peer.pid })
  else out.note(`stopped ${status.peer.name} (process ${status.peer.pid})`)
}

async function ended(context: CommandContext, pid: number, limit: number): Promise<void> {
  const { io, signal } = context
  const until = io.clock.now() + limit
  while (isAlive(pid) || (await answers(context))) {
    if (io.clock.now() > until) {
      throw new WaitTimedOutError('the end of the peer', formatSpan(limit), `process ${pid} is still there`)
    }
    await io.clock.sleep(POLL_MS, signal)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !isZombie(pid)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** In a container whose first process adopts nobody, a process that has ended stays in the table (proc(5), state Z). */
function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/** A peer in another pid namespace is judged by its socket. */
async function answers({ home, io, signal }: CommandContext): Promise<boolean> {
  try {
    return (await runningStatus(io, home, signal)) !== null
  } catch (error) {
    return error instanceof PeerSilentError
  }
}
