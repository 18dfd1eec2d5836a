/** What people do with a cluster, on the log of a home: the same for a running peer and for a command alone. */
import {
  composeCertificates,
  composeRevoke,
  composeRotate,
  composeSetAdmins,
  decodeEntry,
  encodeAdmission,
  encodeToken,
  EntryRefusedError,
  identityOfSeed,
  InviteAddressError,
  LOG_LIMITS,
  checkLabel,
  makeEntry,
  NotAdminError,
  propose,
  refusedAddresses,
  RootKeyError,
  signaturesNeeded,
  signBody,
  signProposal,
} from '../../trust/index.ts'
import type { Cluster, EntryBody, Invite, OpenedCluster, Proposed } from '../../trust/index.ts'
import { parseAddress } from '../../net/index.ts'
import { describeCluster, summarizeCluster } from './describe.ts'
import type { ClusterAction, ClusterControl, ClusterOutcome, InviteInfo } from './types.ts'

export interface ControlNeeds extends Pick<OpenedCluster, 'cluster' | 'invites'> {
  wall(): number
  /** Multiaddrs of this peer, with its id: where others reach it, the best first. */
  addresses(): readonly string[]
  /** Reads and checks the whole log; number of entries. */
  verify(): Promise<number>
  /** Asks an admin to take this peer out; false: none was there. */
  leave(reason: string): Promise<boolean>
}

/** As many as fit in an invite that people still copy by hand. */
const MAX_TOKEN_ADDRESSES = 4

export function createClusterControl(needs: ControlNeeds): ClusterControl {
  const { cluster, invites } = needs
  const admin = (): Cluster => {
    if (!cluster.isAdmin) throw new NotAdminError()
    return cluster
  }
  const run = async (action: ClusterAction): Promise<ClusterOutcome> => {
    const compose = { random: cluster.needs.random, wall: () => needs.wall() }
    const { state } = cluster.log
    switch (action.do) {
      case 'show': {
        const status = describeCluster(needs)
        return action.verify === true ? { ...status, verified: await needs.verify() } : status
      }
      case 'invite':
        return invite(needs, admin(), action)
      case 'admit':
        return admit(needs, admin(), action)
      case 'invites':
        return { schema: 'weft.invites/1', invites: invites.list().map(inviteInfo) }
      case 'uninvite':
        invites.remove(action.id)
        return { schema: 'weft.invite-removed/1', id: action.id }
      case 'revoke':
        checkLabel('the reason', action.reason, LOG_LIMITS.reason, 1)
        if (cluster.member(action.peer) === undefined) throw new EntryRefusedError(`${action.peer} is no member`)
        return settled(cluster, propose(admin(), composeRevoke(compose, state, action.peer, { reason: action.reason })))
      case 'admins': {
        const threshold = { k: action.k ?? state.threshold.k, n: action.n ?? action.admins.length }
        return settled(cluster, propose(admin(), composeSetAdmins(compose, state, action.admins, threshold)))
      }
      case 'rotate':
        return settled(cluster, propose(admin(), composeRotate(compose, state)))
      case 'certificates':
        return settled(cluster, propose(admin(), composeCertificates(compose, state, action.lifetime)))
      case 'sign':
        return settled(cluster, signProposal(cluster, action.proposal))
      case 'leave':
        checkLeaving(cluster, composeRevoke(compose, state, cluster.self, { reason: 'left', left: true }))
        return { schema: 'weft.cluster-left/1', told: await needs.leave(action.reason) }
      case 'export': {
        const entries = cluster.log.entries(0, cluster.head.height + 1)
        const parsed = entries.map((bytes) => JSON.parse(Buffer.from(bytes).toString()) as unknown)
        return { schema: 'weft.cluster-export/1', cluster: cluster.id, entries: parsed }
      }
      default: {
        const root = identityOfSeed(Buffer.from(action.root, 'hex'))
        if (root.id !== state.root) throw new RootKeyError('the key', 'it is that of another cluster')
        const { admins } = action
        const body = composeSetAdmins(compose, state, admins, { k: 1, n: admins.length })
        const entry = makeEntry(body, [signBody(body, root)])
        cluster.take(entry)
        return settled(cluster, { applied: true, entry })
      }
    }
  }
  return {
    summary: () => summarizeCluster(needs),
    status: () => describeCluster(needs),
    roleOf: (peer) => {
      const member = cluster.member(peer)
      return member === undefined ? undefined : { role: member.role, site: member.site }
    },
    run,
    decide: (peer, admit) => invites.decide(peer, admit),
  }
}

/** Of an admin that nobody could take out, or that leaves nobody behind who decides. @throws EntryRefusedError */
function checkLeaving({ isAdmin, log: { state } }: Cluster, body: EntryBody): void {
  if (!isAdmin || state.members.size === 1) return
  const { admins, complete, threshold } = state
  const least = complete ? threshold.k : 1
  if (admins.size - 1 < least) {
    const left = admins.size === 1 ? 'no admin' : `fewer than ${least} admins`
    throw new EntryRefusedError(`this peer is an admin, and ${left} would be left: make others admins first`)
  }
  const needed = signaturesNeeded(state, body)
  if (needed > 1)
    throw new EntryRefusedError(`this peer is an admin, and ${needed} must sign its going: make it a member first`)
}

/** @throws EntryRefusedError for a peer that no invite lets in */
function checkBound({ self, log: { state } }: Cluster, peer: string): void {
  if (peer === self) throw new EntryRefusedError('an invite is for another peer than the one that makes it', { peer })
  if (state.members.has(peer)) throw new EntryRefusedError(`${peer} is a member already`, { peer })
  if (state.removed.get(peer)?.left === false)
    throw new EntryRefusedError(`${peer} was removed, and an identity that was removed does not come back`, { peer })
}

function invite(
  needs: ControlNeeds,
  cluster: Cluster,
  request: Extract<ClusterAction, { do: 'invite' }>,
): ClusterOutcome {
  const { role, site, lifetime, uses, peer, approve } = request
  checkLabel('the site', site, LOG_LIMITS.site)
  if (peer !== undefined) checkBound(cluster, peer)
  const addresses = addressesOf(needs, cluster, request.addresses)
  checkAddresses(cluster, addresses)
  const now = needs.wall()
  const made = needs.invites.create({ role, site, expires: now + lifetime, uses, peer, approve }, now)
  const token = encodeToken({
    cluster: cluster.id,
    invite: made.invite.id,
    secret: made.secret,
    addresses,
  })
  return { schema: 'weft.invite/1', ...inviteInfo(made.invite), token, addresses }
}

function admit(
  needs: ControlNeeds,
  cluster: Cluster,
  request: Extract<ClusterAction, { do: 'admit' }>,
): ClusterOutcome {
  const { peer, name, role, site } = request
  checkLabel('the name of the peer', name, LOG_LIMITS.name)
  checkLabel('the site', site, LOG_LIMITS.site)
  const addresses = addressesOf(needs, cluster, request.addresses)
  if (addresses.length > 0) checkAddresses(cluster, addresses)
  const known = cluster.member(peer)
  // the file was lost, or could not be written: the same again is no other entry
  if (known?.role !== role || known.site !== site) cluster.admit({ peer, name, role, site })
  const entries = cluster.log.entries(0, cluster.head.height + 1).map(decodeEntry)
  const admission = encodeAdmission({ cluster: cluster.id, peer, admin: cluster.self, addresses, entries })
  return { schema: 'weft.admitted/1', peer, role, admission }
}

function addressesOf(needs: ControlNeeds, { self }: Cluster, named: readonly string[] | undefined): string[] {
  const all = named ?? needs.addresses().slice(0, MAX_TOKEN_ADDRESSES)
  return all.map((address) => (parseAddress(address)?.peer === null ? `${address}/p2p/${self}` : address))
}

function checkAddresses({ self }: Cluster, addresses: readonly string[]): void {
  const why = refusedAddresses(addresses)
  if (why !== undefined) throw new InviteAddressError(why)
  if (!addresses.every((address) => address.endsWith(`/p2p/${self}`)))
    throw new InviteAddressError('an address in it leads to another peer')
}

function inviteInfo({ id, role, site, expires, uses, left, peer, approve, used_by }: Invite): InviteInfo {
  const expires_at = new Date(expires).toISOString()
  return { id, role, site, expires_at, uses, left, peer: peer ?? null, approve, used_by }
}

function settled(cluster: Cluster, proposed: Proposed): ClusterOutcome {
  if (!proposed.applied) {
    const { entry, needed, missing } = proposed.proposal
    return {
      schema: 'weft.cluster-proposed/1',
      kind: entry.body.kind,
      needed,
      missing,
      proposal: proposed.text,
    }
  }
  const { body } = decodeEntry(proposed.entry.bytes)
  return {
    schema: 'weft.cluster-changed/1',
    kind: body.kind,
    peer: 'peer' in body ? body.peer : null,
    epoch: cluster.epoch,
    height: cluster.head.height,
  }
}
