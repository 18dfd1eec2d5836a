/** The cluster of a home for commands: through its running peer, else on the files of the home. */
import { join } from 'node:path'
import { createClusterControl, lockHolder, homePaths } from '../../peer/index.ts'
import type { ClusterAction, ClusterOutcome, ClusterStatus } from '../../peer/index.ts'
import { loadOrCreateIdentity, NoClusterError, openClusterHome, readClusterPin } from '../../trust/index.ts'
import type { ClusterNeeds } from '../../trust/index.ts'
import type { CommandContext } from '../context.ts'
import { PeerRunsError } from '../errors.ts'
import type { PeerAccess } from '../peer-access.ts'
import { openPeer, runningStatus } from '../peer-access.ts'

export interface ClusterAccess {
  /** Undefined: no peer runs in this home. */
  readonly running: PeerAccess | undefined
  run(action: ClusterAction): Promise<ClusterOutcome>
}

export async function clusterNeeds({ home, io }: CommandContext): Promise<ClusterNeeds> {
  const identity = await loadOrCreateIdentity({ directory: join(home, 'keys') })
  return { identity, random: io.random, wall: () => io.clock.wall() }
}

/** @throws NoClusterError */
export async function openCluster(context: CommandContext): Promise<ClusterAccess> {
  const { io, home, signal } = context
  if ((await readClusterPin(home)) === undefined) throw new NoClusterError(home)
  if ((await runningStatus(io, home, signal)) !== null) {
    const running = await openPeer(io, home, { local: 'never', signal })
    context.defer(() => running.close())
    return { running, run: (action) => running.cluster(action, signal) }
  }
  const needs = await clusterNeeds(context)
  const opened = await openClusterHome(needs, home)
  context.defer(() => opened.close())
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
  return { running: undefined, run: (action) => control.run(action) }
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
