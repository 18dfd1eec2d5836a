/** weft wait: blocks until the peer is up, or the mesh has so many peers, or serves all of a model. */
import type { PeerStatus } from '../../peer/index.ts'
import type { Command } from '../context.ts'
import { BadValueError, PeerNotRunningError, PeerSilentError, WaitTimedOutError } from '../errors.ts'
import { formatSpan, plural } from '../format.ts'
import { runningStatus } from '../peer-access.ts'
import { socketPath } from '../../util/index.ts'
import { waiting } from '../waiting.ts'

const TIMEOUT_MS = 60_000
const POLL_MS = 200

interface Condition {
  readonly what: string
  holds(status: PeerStatus): boolean
  /** How things stand, for the error. */
  now(status: PeerStatus): string
}

export const command: Command = async (context) => {
  const { flags, home, io, out, signal } = context
  const condition = parseCondition(flags.text('for') ?? 'up')
  const limit = flags.number('timeout') ?? TIMEOUT_MS
  const until = io.clock.now() + limit
  const wait = waiting(io, out, condition.what, limit)
  context.defer(() => wait.end())
  for (;;) {
    const status = await statusOrNull(context)
    if (status !== null && condition.holds(status)) {
      if (out.structured) out.document({ schema: 'weft.wait/1', for: flags.text('for') ?? 'up', peers: size(status) })
      return
    }
    if (io.clock.now() >= until) {
      if (status === null) throw new PeerNotRunningError(home, socketPath(home, io.env))
      throw new WaitTimedOutError(condition.what, formatSpan(limit), condition.now(status))
    }
    await io.clock.sleep(Math.min(POLL_MS, Math.max(1, until - io.clock.now())), signal)
  }
}

export function parseCondition(text: string): Condition {
  if (text === 'up')
    return {
      what: 'the peer to be up',
      holds: (it) => it.peer.state === 'running',
      now: (it) => `it is ${it.peer.state}`,
    }
  const peers = /^peers=(\d{1,6})$/.exec(text)
  if (peers !== null) {
    const count = Number(peers[1])
    return {
      what: `a mesh of ${plural(count, 'peer')}`,
      holds: (status) => size(status) >= count,
      now: (status) =>
        `${plural(size(status), 'peer')} with this one, ${status.seen_not_joined.length} seen and not joined`,
    }
  }
  const model = /^model=(.+)$/.exec(text)?.[1]
  if (model === undefined) throw new BadValueError('--for', text, 'up, peers=N or model=M')
  const find = (status: PeerStatus): PeerStatus['models'][number] | undefined =>
    status.models.find((it) => it.model === model)
  return {
    what: `all blocks of ${model} to be served`,
    holds: (status) => {
      const found = find(status)
      return found !== undefined && found.blocks > 0 && found.covered >= found.blocks
    },
    now: (status) => {
      const found = find(status)
      return found === undefined
        ? 'the mesh does not know this model'
        : `${found.covered} of ${found.blocks} blocks are served`
    },
  }
}

/** Peers that are connected, this one included: the number that `weft status` shows. */
function size(status: PeerStatus): number {
  return 1 + status.peers.filter((peer) => peer.state === 'connected').length
}

/** A peer that is busy starting or ending may not answer this once. */
async function statusOrNull({ home, io, signal }: Parameters<Command>[0]): Promise<PeerStatus | null> {
  try {
    return await runningStatus(io, home, signal)
  } catch (error) {
    if (error instanceof PeerSilentError) return null
    throw error
  }
}
