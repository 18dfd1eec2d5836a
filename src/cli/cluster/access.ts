/** The cluster of a home for commands: through its running peer, else on the files of the home. */
import { join } from 'node:path'
import { clusterDeed, createClusterControl, HomeBusyError, homePaths, lockHolder, lockHome } from '../../peer/index.ts'
import type { ClusterAction, ClusterOutcome, ClusterStatus } from '../../peer/index.ts'
import { loadOrCreateIdentity, NoClusterError, openClusterHome, readClusterPin } from '../../trust/index.ts'
import type { ClusterNeeds } from '../../trust/index.ts'
import type { CommandContext } from '../context.ts'
import { PeerRunsError } from '../errors.ts'
import type { PeerAccess } from '../peer-access.ts'
import { homePassphrase } from '../passphrase.ts'
import { openPeer, runningStatus } from '../peer-access.ts'
import { recorded } from '../site-log.ts'
import { makeFolders } from '../../store/index.ts'

export interface ClusterAccess {
  /** Undefined: no peer runs in this home. */
  readonly running: PeerAccess | undefined
  run(action: ClusterAction): Promise<ClusterOutcome>
}

/** @throws KeyLockedError, WrongPassphraseError, TooManyAttemptsError */
export async function clusterNeeds(context: CommandContext): Promise<ClusterNeeds> {
  const { home, io } = context
  const passphrase = await homePassphrase(context)
  const identity = await loadOrCreateIdentity({ directory: join(home, 'keys'), passphrase })
  return { identity, random: io.random, wall: () => io.clock.wall() }
}

/**
 * Members under names by which they can be found: that of the log, else that by which a connected one is known here. What a
 * member calls itself takes nobody else's name away: two of one name are asked for by their ids.
 */
export async function namedMembers(
  { running }: ClusterAccess,
  { members }: ClusterStatus,
  signal: AbortSignal,
): Promise<readonly { readonly id: string; readonly name: string }[]> {
  if (running === undefined) return members
  const { peer, peers } = await running.status(signal)
  const called = [peer, ...peers].filter(({ id }) => members.some((member) => member.id === id))
  return [...members, ...called.filter(({ name }) => !members.some((member) => member.name === name))]
}

/** What adds to the log; the rest reads, or has a lock of its own. */
const WRITES: ReadonlySet<string> = new Set<ClusterAction['do']>([
  'admit',
  'revoke',
  'admins',
  'rotate',
  'certificates',
  'sign',
  'recover',
])
/** Another command holds the home for the time of a signature. */
const HOLD_MS = 5_000
const POLL_MS = 50

/** @throws NoClusterError */
export async function openCluster(context: CommandContext): Promise<ClusterAccess> {
  const { io, home, signal } = context
  if ((await readClusterPin(home)) === undefined) throw new NoClusterError(home)
  if ((await runningStatus(io, home, signal)) !== null) {
    const running = await openPeer(io, home, { local: 'never', signal })
    context.defer(() => running.close())
    return { running, run: (action) => running.cluster(action, signal) }
  }
  const run = (action: ClusterAction): Promise<ClusterOutcome> => runAlone(context, action)
  return {
    running: undefined,
    run: (action) => (WRITES.has(action.do) ? holdingHome(context, () => run(action)) : run(action)),
  }
}

/** On the files, as they are now: what another command has just written is among them. */
async function runAlone(context: CommandContext, action: ClusterAction): Promise<ClusterOutcome> {
  const { home } = context
  const needs = await clusterNeeds(context)
  const opened = await openClusterHome(needs, home)
  try {
    const control = createClusterControl({
      ...opened,
      wall: () => needs.wall(),
      addresses: () => [],
      leave: () => Promise.resolve(false),
      verify: async () => {
        const whole = await openClusterHome(needs, home, { whole: true })
        whole.close()
        return whole.cluster.head.height + 1
      },
    })
    const deed = clusterDeed(action)
    if (deed === undefined) return await control.run(action)
    return await recorded(context, deed, needs.identity, () => control.run(action))
  } finally {
    opened.close()
  }
}

/** No peer of this home starts, and no other command writes, until `action` is done. @throws HomeBusyError */
export async function holdingHome<T>(context: CommandContext, action: () => Promise<T>): Promise<T> {
  const { home, io, signal } = context
  const until = io.clock.now() + HOLD_MS
  await makeFolders(home, 0o700)
  for (;;) {
    try {
      const giveBack = await lockHome(homePaths(home, io.env))
      try {
        return await action()
      } finally {
        await giveBack()
      }
    } catch (error) {
      if (!(error instanceof HomeBusyError) || io.clock.now() > until) throw error
      await io.clock.sleep(POLL_MS, signal)
    }
  }
}

/** What founds or joins a cluster needs the home for itself. @throws PeerRunsError */
export function refuseRunning(context: CommandContext, what: string): Promise<void> {
  return lockHolder(homePaths(context.home, context.io.env).lock).then((pid) => {
    if (pid !== undefined) throw new PeerRunsError(context.home, pid, what)
  })
}

export async function statusOf(access: ClusterAccess, verify = false): Promise<ClusterStatus> {
  return (await access.run({ do: 'show', verify })) as ClusterStatus
}
