/** What follows from the entries so far. `apply` changes it; it is copied where two histories are compared. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { canonicalJson } from '../../util/index.ts'
import { EntryFormError } from './errors.ts'
import { BOX_TEXT } from './seal.ts'
import { ROLES } from './types.ts'
import type { LogHead, Member, Removed, SealedKey, Threshold } from './types.ts'

export interface CertificateTerms {
  /** Milliseconds; 0: there are none. */
  readonly lifetime: number
  /** Milliseconds since 1970. */
  readonly since: number
}

export interface ClusterState {
  readonly cluster: string
  readonly name: string
  readonly root: string
  /** Of the first entry: the salt of all sealed keys. */
  readonly random: string
  head: LogHead
  /** The latest time that an entry names. */
  at: number
  epoch: number
  threshold: Threshold
  /** As many admins as there shall be have been there once: from then on k must sign what changes them. */
  complete: boolean
  /** Height of the last checkpoint; 0 where there is none. */
  checkpoint: number
  /** What an entry last said of certificates, and when; undefined: none did. */
  certificates: CertificateTerms | undefined
  readonly admins: Set<string>
  readonly members: Map<string, Member>
  readonly removed: Map<string, Removed>
  /** The group key of the present epoch, sealed to those who came since it began; `sealedFor` has those of all. */
  readonly keys: Map<string, SealedKey>
  /** The rotation that began the epoch, and who were members then, in no order: taken apart when it is asked for. */
  rotation: { readonly ephemeral: string; readonly boxes: string; readonly peers: readonly string[] } | undefined
}

/** All boxes of the present epoch, by member. */
function unpack({ rotation, keys, members }: ClusterState): Map<string, SealedKey> {
  const all = new Map<string, SealedKey>()
  if (rotation !== undefined) {
    const { ephemeral, boxes } = rotation
    for (const [index, peer] of rotation.peers.toSorted().entries())
      if (members.has(peer)) all.set(peer, { ephemeral, box: boxes.slice(index * BOX_TEXT, (index + 1) * BOX_TEXT) })
  }
  for (const [peer, key] of keys) all.set(peer, key)
  return all
}

/** The group key of the present epoch, sealed to a member. */
export function sealedFor(state: ClusterState, peer: string): SealedKey | undefined {
  if (!state.members.has(peer)) return undefined
  return state.keys.get(peer) ?? unpack(state).get(peer)
}

export function copyState(state: ClusterState): ClusterState {
  return {
    ...state,
    admins: new Set(state.admins),
    members: new Map(state.members),
    removed: new Map(state.removed),
    keys: new Map(state.keys),
  }
}

const snapshotSchema = z.strictObject({
  v: z.literal(1),
  cluster: z.string(),
  name: z.string(),
  root: z.string(),
  random: z.string(),
  head: z.strictObject({ height: z.int().min(0), hash: z.string() }),
  at: z.int().min(0),
  epoch: z.int().min(1),
  threshold: z.strictObject({ k: z.int(), n: z.int() }),
  complete: z.boolean(),
  checkpoint: z.int().min(0),
  certificates: z.strictObject({ lifetime: z.int().min(0), since: z.int().min(0) }).optional(),
  admins: z.array(z.string()),
  members: z.array(
    z.strictObject({
      peer: z.string(),
      name: z.string(),
      role: z.enum(ROLES),
      site: z.string(),
      inviter: z.string(),
      since: z.number(),
    }),
  ),
  removed: z.array(
    z.strictObject({ peer: z.string(), reason: z.string(), left: z.boolean(), by: z.string(), at: z.number() }),
  ),
  keys: z.array(z.tuple([z.string(), z.strictObject({ ephemeral: z.string(), box: z.string() })])),
})

/** Of members and of who was removed: they never change, and stand in one checkpoint after the other. */
const texts = new WeakMap<object, string>()

function textOf(one: object): string {
  const known = texts.get(one)
  if (known !== undefined) return known
  const text = canonicalJson(one)
  texts.set(one, text)
  return text
}

/** In the order of the peers: of plain texts, which sort() knows by itself. */
function listText(all: ReadonlyMap<string, object>): string {
  const sorted = [...all.keys()].sort()
  return `[${sorted.map((peer) => textOf(all.get(peer)!)).join(',')}]`
}

/** The state as canonical JSON: what a checkpoint hashes, the same on every member. */
export function snapshotOf(state: ClusterState): string {
  const { rotation: _rotation, members, removed, certificates, ...rest } = state
  const small = {
    ...rest,
    // a log that says nothing of them has the state that it always had
    ...(certificates === undefined ? {} : { certificates }),
    v: 1,
    admins: [...state.admins].sort(),
    keys: [...unpack(state)].sort(([a], [b]) => (a < b ? -1 : 1)),
  }
  // the long lists, each in its place among the others
  const lists: Readonly<Record<string, string>> = {
    members: listText(members),
    removed: listText(removed),
  }
  const fields = [...Object.keys(small), ...Object.keys(lists)].sort()
  const values: Readonly<Record<string, unknown>> = small
  const text = (key: string): string => lists[key] ?? canonicalJson(values[key])
  return `{${fields.map((key) => `${JSON.stringify(key)}:${text(key)}`).join(',')}}`
}

export function hashOfSnapshot(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** @throws EntryFormError */
export function readSnapshot(text: string): ClusterState {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new EntryFormError('the saved state is no JSON')
  }
  const result = snapshotSchema.safeParse(value)
  if (!result.success) throw new EntryFormError('the saved state is not as it should be')
  const { v: _v, admins, members, removed, keys, ...rest } = result.data
  return {
    ...rest,
    certificates: rest.certificates,
    admins: new Set(admins),
    members: new Map(members.map((member) => [member.peer, member])),
    removed: new Map(removed.map((one) => [one.peer, one])),
    keys: new Map(keys),
    rotation: undefined,
  }
}
