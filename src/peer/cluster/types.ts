/** What a peer says of its cluster, and what it may be asked to do with it. */
import type { ClocksApart, ClusterView, Role } from '../../trust/index.ts'

export interface WaitingPeer {
  readonly id: string
  readonly name: string
  readonly invite: string
  readonly since: string
}

/** What is known of a member's certificate; times are ISO 8601. */
export interface CertificateInfo {
  /** Null: the entry that let it in is all that it has. */
  readonly by: string | null
  readonly until: string
  /** A new one is due from then on. */
  readonly renews: string
  /** It is over, and no admin is on the line who would renew it. */
  readonly expired: boolean
  /** Less than a third of its life is left: no admin has been up to renew it. */
  readonly late: boolean
}

/** How it stands with certificates. */
export interface CertificatesStatus {
  /** Milliseconds that each is good for; 0: there are none. */
  readonly lifetime_ms: number
  /** Whose certificate is over is refused. */
  readonly required: boolean
  /** Of this peer; null: it has none. */
  readonly own: CertificateInfo | null
  /** Members whose certificate is over. */
  readonly expired: number
}

/** `weft.cluster/1`; times are ISO 8601. */
export interface ClusterStatus {
  readonly schema: 'weft.cluster/1'
  readonly id: string
  readonly name: string
  /** PeerId of the root key. */
  readonly root: string
  /** Of this peer; null: it was removed. */
  readonly role: Role | null
  readonly site: string
  readonly epoch: number
  readonly height: number
  readonly head: string
  readonly threshold: { readonly k: number; readonly n: number }
  readonly admins: readonly string[]
  readonly members: readonly {
    readonly id: string
    readonly name: string
    readonly role: Role
    readonly site: string
    readonly inviter: string
    readonly since: string
    /** Null: the cluster has none. */
    readonly certificate: CertificateInfo | null
  }[]
  readonly removed: readonly {
    readonly id: string
    readonly reason: string
    readonly left: boolean
    readonly by: string
    readonly at: string
  }[]
  readonly forks: ClusterView['forks']
  /** Who has handed in an invite and waits for a person here. */
  readonly waiting: readonly WaitingPeer[]
  /** Milliseconds since an admin confirmed the membership; null: not known. */
  readonly age_ms: number | null
  /** It is older than `max-age`: everything but asking for news is refused. */
  readonly stale: boolean
  /** Whose clock is too far from the one here for its word to be believed. */
  readonly clocks_apart: ClocksApart | null
  readonly certificates: CertificatesStatus
  /** The whole log was read and checked just now. */
  readonly verified?: number
}

/** In `weft status`. */
export type ClusterSummary = Pick<
  ClusterStatus,
  | 'id'
  | 'name'
  | 'role'
  | 'site'
  | 'epoch'
  | 'height'
  | 'age_ms'
  | 'stale'
  | 'clocks_apart'
  | 'waiting'
  | 'certificates'
> & { readonly members: number; readonly forks: number }

export interface InviteRequest {
  readonly role: Role
  readonly site: string
  /** Milliseconds. */
  readonly lifetime: number
  readonly uses: number
  readonly peer?: string | undefined
  readonly approve: boolean
  /** Where the joiner finds this peer, where that is not what it listens on. */
  readonly addresses?: readonly string[] | undefined
}

/** Lets one peer in now, for a site that cannot reach this one when it joins. */
export interface AdmitRequest {
  readonly peer: string
  readonly name: string
  readonly role: Role
  readonly site: string
  readonly addresses?: readonly string[] | undefined
}

export type ClusterAction =
  | { readonly do: 'show'; readonly verify?: boolean | undefined }
  | ({ readonly do: 'invite' } & InviteRequest)
  | ({ readonly do: 'admit' } & AdmitRequest)
  | { readonly do: 'invites' }
  | { readonly do: 'uninvite'; readonly id: string }
  | { readonly do: 'revoke'; readonly peer: string; readonly reason: string }
  | {
      readonly do: 'admins'
      readonly admins: readonly string[]
      readonly k?: number | undefined
      readonly n?: number | undefined
    }
  | { readonly do: 'rotate' }
  /** Milliseconds; 0: none. */
  | { readonly do: 'certificates'; readonly lifetime: number }
  | { readonly do: 'sign'; readonly proposal: string }
  | { readonly do: 'leave'; readonly reason: string }
  | { readonly do: 'export' }
  | { readonly do: 'recover'; readonly root: string; readonly admins: readonly string[] }

export interface InviteInfo {
  readonly id: string
  readonly role: Role
  readonly site: string
  readonly expires_at: string
  readonly uses: number
  readonly left: number
  readonly peer: string | null
  readonly approve: boolean
  readonly used_by: readonly string[]
}

/** What came of an action, by its schema. */
export type ClusterOutcome =
  | ClusterStatus
  | (InviteInfo & { readonly schema: 'weft.invite/1'; readonly token: string; readonly addresses: readonly string[] })
  | { readonly schema: 'weft.admitted/1'; readonly peer: string; readonly role: Role; readonly admission: string }
  | { readonly schema: 'weft.invites/1'; readonly invites: readonly InviteInfo[] }
  | { readonly schema: 'weft.invite-removed/1'; readonly id: string }
  | ClusterChanged
  | ClusterProposed
  | { readonly schema: 'weft.cluster-left/1'; readonly told: boolean }
  | { readonly schema: 'weft.cluster-export/1'; readonly cluster: string; readonly entries: readonly unknown[] }

/** The change stands. */
export interface ClusterChanged {
  readonly schema: 'weft.cluster-changed/1'
  readonly kind: string
  readonly peer: string | null
  readonly epoch: number
  readonly height: number
}

/** Others have to sign it: `proposal` is the text of the file that they are given. */
export interface ClusterProposed {
  readonly schema: 'weft.cluster-proposed/1'
  readonly kind: string
  readonly needed: number
  readonly missing: number
  readonly proposal: string
}

export interface ClusterControl {
  summary(): ClusterSummary
  status(): ClusterStatus
  /** Role and site of a member. */
  roleOf(peer: string): { readonly role: Role; readonly site: string } | undefined
  /** @throws what the membership refuses with */
  run(action: ClusterAction): Promise<ClusterOutcome>
  /** A person has decided about who waits. False: nobody of that id does. */
  decide(peer: string, admit: boolean): boolean
}
