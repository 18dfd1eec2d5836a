/** The cluster as a part of a running peer: its log open, spread, enforced, and in people's hands. */
import { createSpread, serveEnrolments } from '../../mesh/index.ts'
import type { Mesh, Spread } from '../../mesh/index.ts'
import type { ClusterInit, Membership, Network } from '../../net/index.ts'
import { ORIGIN } from '../../placement/index.ts'
import type { Logger, Telemetry } from '../../telemetry/index.ts'
import { CertificateExpiredError, ClusterNetworkError, openClusterHome, readClusterPin } from '../../trust/index.ts'
import type { Identity, OpenedCluster, Purpose } from '../../trust/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import type { Site } from '../site.ts'
import type { PeerEvent } from '../types.ts'
import { createClusterControl } from './control.ts'
import { voidForgotten } from './put-back.ts'
import type { ClusterControl } from './types.ts'
import { writeInviteUse, writeMembership } from './written.ts'

export interface ClusterPartNeeds {
  readonly home: string
  readonly identity: Identity
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry: Telemetry
}

export interface ClusterPart {
  readonly name: string
  /** What the log calls this peer; undefined: nothing. */
  ownName(): string | undefined
  readonly networkKey: Uint8Array
  readonly membership: Membership
  /** Whether a peer may have blocks of others; of placements, so it may be the word for the origin. */
  readonly mayHold: (peer: string) => boolean
  /** Why this peer may not say where models run; undefined: it may. */
  readonly mayNotPlace: () => Error | undefined
  /** Why a peer is not admitted to a purpose, as things stand. */
  readonly refusal: (peer: string, purpose: Purpose) => Error
  readonly admits: (peer: string, purpose: string) => boolean
  /** For the network. */
  readonly net: ClusterInit
  readonly control: ClusterControl
  start(
    network: Network,
    mesh: Mesh,
    changes: {
      readonly emit: (event: string, data: PeerEvent['data']) => void
      readonly changed: () => void
      readonly site: Pick<Site, 'note' | 'tally'>
    },
  ): void
  stop(): void
}

/** Null where the home belongs to no cluster. @throws ClusterNetworkError, and what the log is refused with */
export async function openClusterPart(
  needs: ClusterPartNeeds,
  init: { readonly networkKey?: string | undefined; readonly maxAge?: (() => number | undefined) | undefined },
): Promise<ClusterPart | null> {
  const { home, identity, clock, random } = needs
  const pin = await readClusterPin(home)
  if (pin === undefined) return null
  if (init.networkKey !== undefined) throw new ClusterNetworkError(pin.name)
  const opened = await openClusterHome({ identity, random, wall: () => clock.wall(), now: () => clock.now() }, home, {
    maxAge: init.maxAge,
  })
  return partOf(needs, opened)
}

function partOf(needs: ClusterPartNeeds, opened: OpenedCluster): ClusterPart {
  const { clock, logger, telemetry, identity, random, home } = needs
  const { cluster, invites } = opened
  let unwritten = (): void => undefined
  let running: { readonly network: Network; readonly changed: () => void } | undefined
  const spread: Spread = createSpread({
    cluster,
    clock,
    logger,
    count: (name, by) => telemetry.count(name, by),
    changed: () => {
      running?.network.review()
      running?.changed()
    },
  })
  const control = createClusterControl({
    cluster,
    invites,
    wall: () => clock.wall(),
    addresses: () => (running === undefined ? [] : reachedAt(running.network)),
    leave: (reason) => spread.leave(reason),
    verify: async () => {
      const again = await openClusterHome({ identity, random, wall: () => clock.wall() }, home, { whole: true })
      again.close()
      return again.cluster.head.height + 1
    },
  })
  const refusal = (peer: string, purpose: Purpose): ReturnType<typeof cluster.refusal> => {
    const why = cluster.refusal(peer, purpose)
    if (why instanceof CertificateExpiredError) telemetry.count('certificate_refusals')
    return why
  }
  return {
    name: cluster.name,
    ownName: () => cluster.member(cluster.self)?.name || undefined,
    networkKey: cluster.doorKey,
    membership: cluster.membership,
    mayHold: (peer) => peer === cluster.self || peer === ORIGIN || cluster.membership.admits(peer, 'stage'),
    admits: (peer, purpose) => cluster.membership.admits(peer, purpose),
    mayNotPlace: () => (cluster.membership.admits(cluster.self, 'place') ? undefined : refusal(cluster.self, 'place')),
    refusal,
    net: {
      groupKeys: () => cluster.groupKeys(),
      head: () => cluster.head,
      certificate: () => cluster.certificates.of(cluster.self)?.bytes,
      certified: (peer, certificate) => spread.certified(peer, certificate),
      acquaint: (peer, head, open) => spread.acquaint(peer, head, open),
    },
    control,
    start(network, mesh, { emit, changed, site }) {
      const endings = [writeMembership(site, cluster), voidForgotten({ cluster, invites, logger, telemetry, site })]
      unwritten = () => endings.forEach((end) => end())
      running = {
        network,
        changed: () => {
          mesh.review()
          emit('membership.changed', { epoch: cluster.epoch, height: cluster.head.height })
          changed()
        },
      }
      serveEnrolments(network, {
        cluster,
        invites,
        clock,
        random,
        logger,
        telemetry,
        waits: (peer, name) => emit('peer.pending', { peer, name }),
        joined: (peer, role) => emit('member.joined', { peer, role }),
        ended: (use) => writeInviteUse(site, use),
      })
      spread.start(network)
    },
    stop() {
      unwritten()
      spread.stop()
      opened.close()
    },
  }
}

/** Who cannot be dialled is reached through relays: whoever joins tries them before addresses that lead nowhere. */
function reachedAt(network: Network): readonly string[] {
  const { reachability, circuits } = network.reach()
  return reachability === 'private' ? [...circuits, ...network.addresses()] : network.addresses()
}
