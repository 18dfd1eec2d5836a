/** The bodies of new entries, on top of a state. Made here and checked by `apply` like everybody else's. */
import type { RandomSource } from '../../util/index.ts'
import { GROUP_KEY_BYTES, sealKey, sealRotation } from './seal.ts'
import { hashOfSnapshot, snapshotOf } from './state.ts'
import type { ClusterState } from './state.ts'
import type { AdmitBody, CertificatesBody, CheckpointBody, EntryBody, GenesisBody, RevokeBody } from './types.ts'
import type { Role, RotateBody, SetAdminsBody, Threshold } from './types.ts'

export interface ComposeNeeds {
  readonly random: RandomSource
  /** Milliseconds since 1970. */
  wall(): number
}

export interface FoundInit {
  readonly name: string
  readonly root: string
  readonly founder: GenesisBody['founder']
  readonly threshold: Threshold
}

export interface NewMember {
  readonly peer: string
  readonly name: string
  readonly role: Role
  readonly site: string
}

export function composeGenesis(needs: ComposeNeeds, init: FoundInit): GenesisBody {
  const random = Buffer.from(needs.random.bytes(32)).toString('hex')
  const rotation = sealRotation(
    needs.random,
    { salt: random, epoch: 1, peers: [init.founder.peer] },
    needs.random.bytes(GROUP_KEY_BYTES),
  )
  return { v: 1, kind: 'genesis', cluster: '', height: 0, previous: '', at: needs.wall(), random, ...init, rotation }
}

function next(
  needs: ComposeNeeds,
  state: ClusterState,
): Pick<EntryBody, 'v' | 'at'> & {
  readonly cluster: string
  readonly height: number
  readonly previous: string
} {
  const { cluster, head } = state
  return { v: 1, cluster, height: head.height + 1, previous: head.hash, at: needs.wall() }
}

function freshRotation(needs: ComposeNeeds, state: ClusterState, peers: readonly string[]): RevokeBody['rotation'] {
  const init = { salt: state.random, epoch: state.epoch + 1, peers }
  return sealRotation(needs.random, init, needs.random.bytes(GROUP_KEY_BYTES))
}

export function composeAdmit(
  needs: ComposeNeeds,
  state: ClusterState,
  member: NewMember,
  by: { readonly inviter: string; readonly groupKey: Uint8Array },
): AdmitBody {
  const context = { salt: state.random, epoch: state.epoch, peer: member.peer }
  const key = sealKey(needs.random, context, by.groupKey)
  return { ...next(needs, state), kind: 'admit', ...member, inviter: by.inviter, key }
}

export function composeRevoke(
  needs: ComposeNeeds,
  state: ClusterState,
  peer: string,
  { reason, left = false }: { readonly reason: string; readonly left?: boolean },
): RevokeBody {
  const rest = [...state.members.keys()].filter((member) => member !== peer)
  return {
    ...next(needs, state),
    kind: 'revoke',
    peer,
    reason,
    left,
    rotation: freshRotation(needs, state, rest.length === 0 ? [peer] : rest),
  }
}

export function composeSetAdmins(
  needs: ComposeNeeds,
  state: ClusterState,
  admins: readonly string[],
  threshold: Threshold,
): SetAdminsBody {
  return { ...next(needs, state), kind: 'set-admins', admins: [...new Set(admins)].sort(), threshold }
}

export function composeRotate(needs: ComposeNeeds, state: ClusterState): RotateBody {
  return {
    ...next(needs, state),
    kind: 'rotate',
    rotation: freshRotation(needs, state, [...state.members.keys()]),
  }
}

export function composeCertificates(needs: ComposeNeeds, state: ClusterState, lifetime: number): CertificatesBody {
  return { ...next(needs, state), kind: 'certificates', lifetime }
}

export function composeCheckpoint(needs: ComposeNeeds, state: ClusterState): CheckpointBody {
  return { ...next(needs, state), kind: 'checkpoint', state: hashOfSnapshot(snapshotOf(state)) }
}
