/**
 * The membership log of a cluster as the other rooms see it. A cluster is named by the hash of its first entry; who is in,
 * with which role, and under which group key, follows from the entries alone, the same for everybody who has them.
 */

/**
 * What a member is for. `admin` signs entries; `member` computes and asks; `site` does so too and takes part in federated
 * training; `guest` only asks; `device` only computes.
 */
export const ROLES = ['admin', 'member', 'site', 'guest', 'device'] as const
export type Role = (typeof ROLES)[number]

/**
 * What a peer may be asked to be admitted to. `connect`: greet and exchange records. `membership`: fetch the log. `enrol`:
 * hand in an invite. `knock`: be carried to one where that can be done. `invite`: let others in. `fetch`: tensors and manifests. `place`: say where models run. `compute`: send rows to a stage here.
 * `originate`: open a session at a stage here. `stage`: hold a stage for others. `relay`: be carried, or carry. `federate`:
 * take part in rounds.
 */
export const PURPOSES = [
  'connect',
  'membership',
  'enrol',
  'knock',
  'invite',
  'fetch',
  'place',
  'compute',
  'originate',
  'stage',
  'relay',
  'federate',
] as const
export type Purpose = (typeof PURPOSES)[number]

/** How many admins must sign what changes the admins, and how many admins there shall be. */
export interface Threshold {
  readonly k: number
  readonly n: number
}

/** The newest entry: its number (the first is 0) and the SHA-256 of its body, hex. */
export interface LogHead {
  readonly height: number
  readonly hash: string
}

export interface Member {
  readonly peer: string
  readonly name: string
  readonly role: Role
  /** The organisation or place that answers for it; empty where none was said. */
  readonly site: string
  /** The admin that let it in. */
  readonly inviter: string
  /** Milliseconds since 1970, by the inviter's clock. */
  readonly since: number
}

export interface Removed {
  readonly peer: string
  readonly reason: string
  /** It asked for it itself; only then may it come back. */
  readonly left: boolean
  readonly by: string
  readonly at: number
}

/** The group key of an epoch for one member: X25519 to its identity, ChaCha20-Poly1305. */
export interface SealedKey {
  /** Ephemeral X25519 public key, hex. */
  readonly ephemeral: string
  /** 48 bytes, base64: 64 characters. */
  readonly box: string
}

/** A new group key, sealed to each member that stays. */
export interface Rotation {
  readonly epoch: number
  readonly ephemeral: string
  /** The boxes of all of them, one behind the other, in the order of their ids; who they are says the log. */
  readonly boxes: string
}

interface Common {
  readonly v: 1
  /** Hash of the first entry; empty in that one. */
  readonly cluster: string
  readonly height: number
  /** Hash of the entry before; empty in the first one. */
  readonly previous: string
  /** Milliseconds since 1970, by the clock of who made it. Orders nothing. */
  readonly at: number
}

export interface GenesisBody extends Common {
  readonly kind: 'genesis'
  readonly name: string
  /** The root key as a PeerId: it stands for the cluster, and signs nothing but this and recoveries. */
  readonly root: string
  /** 32 bytes, hex: two clusters of one name and root are two. */
  readonly random: string
  /** The first admin. */
  readonly founder: { readonly peer: string; readonly name: string; readonly site: string }
  readonly threshold: Threshold
  readonly rotation: Rotation
}

export interface AdmitBody extends Common {
  readonly kind: 'admit'
  readonly peer: string
  readonly name: string
  readonly role: Role
  readonly site: string
  readonly inviter: string
  /** The group key of the present epoch. */
  readonly key: SealedKey
}

export interface RevokeBody extends Common {
  readonly kind: 'revoke'
  readonly peer: string
  readonly reason: string
  readonly left: boolean
  readonly rotation: Rotation
}

/** The whole new set. By the root key alone it is a recovery. */
export interface SetAdminsBody extends Common {
  readonly kind: 'set-admins'
  readonly admins: readonly string[]
  readonly threshold: Threshold
}

export interface RotateBody extends Common {
  readonly kind: 'rotate'
  readonly rotation: Rotation
}

/** What follows from all entries before it, hashed: whoever has that state need not read them. */
export interface CheckpointBody extends Common {
  readonly kind: 'checkpoint'
  readonly state: string
}

/** How long certificates of members are good for, and that they are asked for from now on; 0: there are none. */
export interface CertificatesBody extends Common {
  readonly kind: 'certificates'
  /** Milliseconds. */
  readonly lifetime: number
}

export type EntryBody =
  | GenesisBody
  | AdmitBody
  | RevokeBody
  | SetAdminsBody
  | RotateBody
  | CheckpointBody
  | CertificatesBody

export interface Signature {
  /** PeerId of an admin, or of the root key. */
  readonly by: string
  /** 64 bytes, hex. */
  readonly sig: string
}

/** An entry that has been read: its form is right. Whether it may follow is what `apply` says. */
export interface Entry {
  readonly body: EntryBody
  readonly signatures: readonly Signature[]
  /** The canonical body: what is hashed, and signed. */
  readonly text: string
  /** SHA-256 of it, hex. */
  readonly hash: string
  /** As on the wire and on the disk: canonical JSON. */
  readonly bytes: Uint8Array
}

/** An admin's word that a head was the newest at a time: what `max-age` is measured by. */
export interface HeartBeat {
  readonly head: LogHead
  readonly at: number
  readonly by: string
  readonly sig: string
}

/** An admin's word that a peer is a member for so long. It gives nothing that the log does not give: it only ends. */
export interface CertificateBody {
  readonly v: 1
  readonly cluster: string
  readonly peer: string
  readonly role: Role
  readonly site: string
  /** Of the group key, and the newest entry, as the admin had them. */
  readonly epoch: number
  readonly head: LogHead
  /** Milliseconds since 1970, by the clock of the admin. */
  readonly from: number
  readonly until: number
  readonly by: string
}

export interface Certificate {
  readonly body: CertificateBody
  /** 64 bytes, hex. */
  readonly sig: string
  /** As on the wire and on the disk: canonical JSON of `{body, sig}`. */
  readonly bytes: Uint8Array
}

/** What is known of a member's certificate. Times are milliseconds since 1970. */
export interface CertificateStanding {
  /** Null: the entry that let it in is all that it has. */
  readonly by: string | null
  readonly until: number
  /** When a new one is due. */
  readonly renews: number
  /** It is over, more than clocks may differ, and no admin is on the line who would renew it. */
  readonly expired: boolean
  /** Less than a third of its life is left: no admin has been up to renew it. */
  readonly late: boolean
}

/** An admin whose clock is further from ours than is believed; negative: it is behind. */
export interface ClocksApart {
  readonly admin: string
  readonly ahead_ms: number
}

/** Two entries of one height, both signed by who might: evidence, kept for ever. */
export interface ForkEvidence {
  readonly height: number
  readonly kept: string
  readonly other: string
  /** Who signed both, if anybody did: its key is in two places, or in the wrong hands. */
  readonly equivocators: readonly string[]
  readonly seen: number
  /** False where it could not be decided by rule: a person must. */
  readonly decided: boolean
}

/** What stands in `weft cluster show`, and what other rooms may ask. */
export interface ClusterView {
  readonly id: string
  readonly name: string
  readonly root: string
  readonly head: LogHead
  /** Of the group key; grows with each removal. */
  readonly epoch: number
  readonly threshold: Threshold
  readonly admins: readonly string[]
  readonly members: readonly Member[]
  readonly removed: readonly Removed[]
  readonly forks: readonly ForkEvidence[]
  /** Milliseconds since 1970 that the newest heart-beat names; null: none was heard. */
  readonly freshest: number | null
}
