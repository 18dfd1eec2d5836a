/** What the attack and its child processes say to each other, over the channel that `fork` gives. */

/** A model, where it is and what its digest is; a lookup that ends elsewhere is wrong. */
export interface Held {
  readonly model: string
  readonly digest: string
  /** Which member, by number. */
  readonly holder: number
}

export interface Target {
  readonly id: string
  readonly address: string
}

export interface CrowdJob {
  readonly strangers: number
  /** Hex: the door of the cluster, or the key of the mesh. Every second one has it. */
  readonly key: string
}

export interface AttackJob {
  readonly targets: readonly Target[]
  readonly models: readonly Held[]
}

/** What the crowd did and what came of it. */
export interface CrowdCounts {
  /** Connections that were begun, and those whose other end proved itself. */
  dialled: number
  connected: number
  /** Silent ones, without a handshake. */
  knocked: number
  /** Verdicts that came. */
  welcome: number
  refused: number
  /** Streams of protocols that were opened, and those of them on which anything came back. */
  opened: number
  answered: number
  /** Made-up protocols that were asked for, and those that somebody said to serve. */
  invented: number
  served: number
  /** Records that were sent. */
  records: number
  /** Greetings with ten thousand addresses, identify messages with two thousand protocols, hundred thousand topics. */
  floods: number
}

export interface MemberJob {
  readonly home: string
  /** Of a mesh with this file as its key; null: its home is of a cluster. */
  readonly keyFile: string | null
  readonly bootstrap: readonly string[]
}

/** So many links to these. */
export interface LinksJob {
  readonly ids: readonly string[]
  readonly least: number
}

/** Since it was last asked. */
export interface MemberState {
  /** Resident bytes as they are, and after all is given back that can be. */
  readonly peak: number
  readonly rss: number
  /** Fewest links to members that it had at any moment. */
  readonly fewest: number
  /** Links to others than members, the most that it had. */
  readonly strangers: number
  /** Peers that it takes for holders of some model, and that are no members. */
  readonly madeUp: number
  /** Round trips to other members, in milliseconds. */
  readonly pings: { readonly times: readonly number[]; readonly failed: number }
}

/** The same of all of them: the worst of each, and the memory by member. */
export interface MembersState extends Pick<MemberState, 'fewest' | 'strangers' | 'madeUp'> {
  readonly peaks: readonly number[]
  readonly kept: readonly number[]
  /** Milliseconds: the 95th percentile of round trips between the first two. */
  readonly roundTrip: number
}

export interface Lookups {
  readonly asked: number
  readonly right: number
  /** Milliseconds, of each. */
  readonly times: readonly number[]
  readonly wrong: readonly string[]
}
