/** Members of a cluster in one process: real networks on the loopback, logs in memory, the spreading between them. */
import { createSpread, serveEnrolments } from '../../../src/mesh/index.ts'
import type { Network, NetworkInit } from '../../../src/net/index.ts'
import { newIdentity } from '../../../src/trust/index.ts'
import type { Cluster, Identity, InviteBook } from '../../../src/trust/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import type { Clock } from '../../../src/util/index.ts'
import { network, quietLogger } from '../../net/helpers.ts'
import { copyFor, found, random } from '../../trust/support/cluster.ts'
import type { Founded } from '../../trust/support/cluster.ts'

export const ECHO = '/test/echo/1'

export interface Running {
  readonly identity: Identity
  readonly cluster: Cluster
  readonly network: Network
  readonly counted: Record<string, number>
  /** Addresses with the id. */
  readonly address: string
  stop(): Promise<void>
}

export interface RunInit extends Partial<NetworkInit> {
  readonly invites?: InviteBook
  /** Of the network alone. */
  readonly clock?: Clock
  /** By which invites are judged. @default the system's */
  readonly wall?: () => number
}

export async function run(cluster: Cluster, identity: Identity, init: RunInit = {}): Promise<Running> {
  const { invites, wall, ...rest } = init
  const clock = systemClock()
  const counted: Record<string, number> = {}
  const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
  const spread = createSpread({
    cluster,
    clock,
    logger: quietLogger(),
    count,
    changed: () => made.review(),
  })
  const made: Network = await network({
    identity,
    networkKey: cluster.doorKey,
    membership: cluster.membership,
    cluster: {
      groupKeys: () => cluster.groupKeys(),
      head: () => cluster.head,
      certificate: () => cluster.certificates.of(cluster.self)?.bytes,
      certified: (peer, certificate) => spread.certified(peer, certificate),
      acquaint: (peer, head, open) => spread.acquaint(peer, head, open),
    },
    telemetry: { count, observe: () => undefined },
    name: 'a secret name',
    ...rest,
  })
  made.handle(ECHO, 'compute', (channel) => channel.onFrame((got) => channel.send({ ...got, flags: 7 })))
  if (invites !== undefined) {
    const none = (): void => undefined
    const telemetry = { count }
    serveEnrolments(made, {
      cluster,
      invites,
      clock: wall === undefined ? clock : { ...clock, wall },
      random,
      logger: quietLogger(),
      telemetry,
      waits: none,
      joined: none,
      ended: none,
    })
  }
  spread.start(made)
  return {
    identity,
    cluster,
    network: made,
    counted,
    address: made.addresses()[0]!,
    stop: async () => {
      spread.stop()
      await made.stop()
    },
  }
}

/** A founded cluster and some members, each with the log as it was when the last of them came in. */
export function members(
  count: number,
  name = 'test',
): Founded & { readonly others: readonly Identity[]; readonly copy: (n: number) => Cluster } {
  const founded = found({ k: 1, n: 1 }, name)
  const others = Array.from({ length: count }, () => newIdentity())
  for (const [n, { id }] of others.entries())
    founded.cluster.admit({ peer: id, name: `m${n}`, role: 'member', site: '' })
  return { ...founded, others, copy: (n) => copyFor(founded.cluster, others[n]!, founded.time) }
}
