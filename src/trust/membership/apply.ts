/**
 * Whether an entry may follow, and what follows from it. Everything is checked before anything is changed, so a refused
 * entry leaves the state as it was. Pure: no clock is asked, so that every member decides alike, whenever it looks.
 */
import { EntryChainError, EntryRefusedError, EntrySignatureError } from './errors.ts'
import { LOG_LIMITS } from './limits.ts'
import { BOX_TEXT } from './seal.ts'
import { areSigned } from './signatures.ts'
import { hashOfSnapshot, snapshotOf } from './state.ts'
import { isComplete, signaturesNeeded } from './threshold.ts'
import type { ClusterState } from './state.ts'
import type { AdmitBody, CheckpointBody, Entry, EntryBody, RevokeBody, Rotation } from './types.ts'
import type { SetAdminsBody } from './types.ts'

/** The state after the first entry, whose hash is the id of the cluster. @throws EntryChainError and its kin */
export function foundState(entry: Entry): ClusterState {
  const { body } = entry
  if (body.kind !== 'genesis') throw new EntryChainError('the first entry does not found a cluster')
  const { founder, root, threshold, rotation, random, name, at } = body
  const signers = entry.signatures.map(({ by }) => by)
  if (!signers.includes(root) || !signers.includes(founder.peer) || signers.length !== 2)
    throw new EntrySignatureError('the first entry is signed by the root key and the founder')
  checkSignatures(entry)
  checkRotation(rotation, 1, 1)
  const { peer } = founder
  return {
    cluster: entry.hash,
    name,
    root,
    random,
    head: { height: 0, hash: entry.hash },
    at,
    epoch: 1,
    threshold,
    complete: threshold.n === 1,
    checkpoint: 0,
    certificates: undefined,
    admins: new Set([peer]),
    members: new Map([[peer, { ...founder, role: 'admin', inviter: peer, since: at }]]),
    removed: new Map(),
    keys: new Map(),
    rotation: { ephemeral: rotation.ephemeral, boxes: rotation.boxes, peers: [peer] },
  }
}

/** @throws EntryChainError, EntrySignatureError, EntryRefusedError; the state is unchanged then */
export function apply(state: ClusterState, entry: Entry): void {
  const { body } = entry
  checkPlace(state, body)
  checkWho(state, entry)
  const change = changeOf(state, entry)
  checkSignatures(entry)
  change()
  state.head = { height: body.height, hash: entry.hash }
  state.at = Math.max(state.at, body.at)
}

function checkPlace(state: ClusterState, body: EntryBody): void {
  if (body.cluster !== state.cluster) throw new EntryChainError('it belongs to another cluster')
  if (body.height !== state.head.height + 1) {
    const details = { expected: state.head.height + 1, got: body.height }
    throw new EntryChainError(`entry ${body.height} came where ${state.head.height + 1} is next`, details)
  }
  if (body.previous !== state.head.hash) throw new EntryChainError('it follows another entry', { height: body.height })
}

function checkSignatures(entry: Entry): void {
  if (!areSigned(entry)) throw new EntrySignatureError('a signature is not by the key that it names')
}

function checkWho(state: ClusterState, { body, signatures }: Entry): void {
  const isRecovery = body.kind === 'set-admins' && signatures.some(({ by }) => by === state.root)
  for (const { by } of signatures)
    if (!state.admins.has(by) && !(isRecovery && by === state.root))
      throw new EntrySignatureError(`${by} is no admin`, { by })
  const needed = signaturesNeeded(state, body)
  if (!isRecovery && signatures.length < needed) {
    const details = { needed, got: signatures.length }
    throw new EntrySignatureError(`${needed} admins must sign it, and ${signatures.length} did`, details)
  }
}

function changeOf(state: ClusterState, { body, signatures }: Entry): () => void {
  switch (body.kind) {
    case 'admit':
      return admit(state, body)
    case 'revoke':
      return revoke(state, body, signatures[0]!.by)
    case 'set-admins':
      return setAdmins(state, body)
    case 'rotate':
      checkRotation(body.rotation, state.epoch + 1, state.members.size)
      return () => rotate(state, body.rotation)
    case 'checkpoint':
      return checkpoint(state, body)
    case 'certificates':
      return () => {
        state.certificates = { lifetime: body.lifetime, since: body.at }
      }
    default:
      throw new EntryChainError('a cluster is founded once')
  }
}

function admit(state: ClusterState, body: AdmitBody): () => void {
  const { peer, name, role, site, inviter, at, key } = body
  if (state.members.has(peer)) throw new EntryRefusedError(`${peer} is a member already`, { peer })
  if (state.removed.get(peer)?.left === false)
    throw new EntryRefusedError(`${peer} was removed, and an identity that was removed does not come back`, { peer })
  if (state.members.size >= LOG_LIMITS.members) throw new EntryRefusedError('the cluster has as many members as it may')
  if (role === 'admin' && state.admins.size >= LOG_LIMITS.admins)
    throw new EntryRefusedError('the cluster has as many admins as it may')
  if (!state.admins.has(inviter)) throw new EntryRefusedError(`${inviter} is no admin, and invites nobody`)
  return () => {
    state.removed.delete(peer)
    state.members.set(peer, { peer, name, role, site, inviter, since: at })
    state.keys.set(peer, key)
    if (role === 'admin') state.admins.add(peer)
    state.complete = isComplete(state, body)
  }
}

function revoke(state: ClusterState, { peer, reason, left, rotation, at }: RevokeBody, by: string): () => void {
  if (!state.members.has(peer)) throw new EntryRefusedError(`${peer} is no member`, { peer })
  if (state.admins.has(peer)) {
    const least = state.complete ? state.threshold.k : 1
    if (state.admins.size - 1 < least) {
      const why = state.admins.size === 1 ? 'it is the last admin' : `fewer than ${least} admins would be left`
      throw new EntryRefusedError(why, { peer, admins: state.admins.size, least })
    }
  }
  checkRotation(rotation, state.epoch + 1, state.members.size - 1)
  return () => {
    state.members.delete(peer)
    state.admins.delete(peer)
    state.removed.set(peer, { peer, reason, left, by, at })
    rotate(state, rotation)
  }
}

function setAdmins(state: ClusterState, body: SetAdminsBody): () => void {
  const { admins, threshold } = body
  const stranger = admins.find((peer) => !state.members.has(peer))
  if (stranger !== undefined) throw new EntryRefusedError(`${stranger} is no member`, { peer: stranger })
  if (admins.length < threshold.k)
    throw new EntryRefusedError(`${threshold.k} must sign, and ${admins.length} would be there`)
  return () => {
    for (const peer of state.admins) setRole(state, peer, 'member')
    state.admins.clear()
    for (const peer of admins) {
      state.admins.add(peer)
      setRole(state, peer, 'admin')
    }
    state.threshold = threshold
    state.complete = isComplete(state, body)
  }
}

function setRole(state: ClusterState, peer: string, role: 'admin' | 'member'): void {
  const member = state.members.get(peer)
  if (member !== undefined) state.members.set(peer, { ...member, role })
}

function checkpoint(state: ClusterState, body: CheckpointBody): () => void {
  if (body.state !== hashOfSnapshot(snapshotOf(state)))
    throw new EntryRefusedError('a checkpoint says that something else follows from the entries before it')
  return () => {
    state.checkpoint = body.height
  }
}

/** A box for each member, and none for anybody else. What is in a box only the member that it is for can tell. */
function checkRotation({ epoch, boxes }: Rotation, expected: number, members: number): void {
  if (epoch !== expected) throw new EntryRefusedError(`it begins epoch ${epoch} where ${expected} is next`)
  if (boxes.length !== members * BOX_TEXT)
    throw new EntryRefusedError('its group key is not sealed to the members alone, and to all of them')
}

function rotate(state: ClusterState, rotation: Rotation): void {
  const { epoch, ephemeral, boxes } = rotation
  state.epoch = epoch
  state.keys.clear()
  state.rotation = { ephemeral, boxes, peers: [...state.members.keys()] }
}
