/** Limits and times of the network, each with its reason. */

/** Larger frames are cut into pieces of this, so that a heart-beat on another stream waits for one piece at most. */
export const SEND_PIECE_BYTES = 256 << 10
/** Frames whose handler has not finished: enough to hide a turn of the event loop, small enough to bound memory. */
export const MAX_PENDING_FRAMES = 8
/** Bytes of such frames: two prefill chunks of 512 rows of width 4,096 in f16. Above, the stream is not read. */
export const MAX_PENDING_BYTES = 8 << 20
/** Sends that wait for room. Who has more than this waiting does not await its sends. */
export const MAX_WAITING_SENDS = 1024
/** How long a closed channel waits for the other end to close as well. */
export const CLOSE_WAIT_MS = 5_000

/** Nesting of a control map; ours have four levels. */
export const MAX_CONTROL_DEPTH = 16
/** Values in a control map: 16 bytes of memory or more each, so a full map stays near a megabyte. */
export const MAX_CONTROL_VALUES = 32_768

/**
 * yamux windows. Both ends must start from the same one, so it belongs to the protocol version. Raised from 256 KiB:
 * a first megabyte crosses a 40 ms link in 47 ms in place of 100 (measured).
 */
export const INITIAL_WINDOW_BYTES = 1 << 20
export const MAX_WINDOW_BYTES = 4 << 20
/** At least twice the window: a paused stream is aborted when its read buffer is full. */
export const READ_BUFFER_BYTES = 8 << 20
/** Writers wait for room after each piece, so this is never reached unless something is wrong. */
export const WRITE_BUFFER_BYTES = 32 << 20

/** Protocol versions spoken: this one and, once there is one, the one before. */
export const SPOKEN = { min: 1, max: 1 } as const
/** A greeting takes three round trips; this is for links and machines that are very slow. */
export const HELLO_WAIT_MS = 10_000
/** All that one side may send in a greeting: its largest message has 16 addresses of 255 bytes. */
export const MAX_HELLO_BYTES = 32 << 10
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_LENGTH = 255
export const MAX_NAME_LENGTH = 128
/** A newcomer that waits for a person is noted again this often: notes fade after three times as long. */
export const ASK_AGAIN_MS = 5 * 60_000
/** Newcomers that wait for a person; each holds a connection. */
export const MAX_PENDING_PEERS = 64
/** Connections of one peer: two dials that crossed, and a stale one. */
export const MAX_LINKS_PER_PEER = 4
/** Streams that wait for the end of a greeting; each may fill a window. */
export const MAX_EARLY_STREAMS = 4
/** How long a refused side may take to read why. */
export const REFUSAL_LINGER_MS = 1_000
/** Two connections of one peer that are closer than this have crossed; else the newer replaces a dead one. */
export const CROSSED_MS = 5_000

/** From the question for a lane to its first frame: five round trips, and the time to agree on a key. */
export const LANE_WAIT_MS = 1_500
/** One a neighbour is what the ring needs; the rest are for fetches of weights, up to four each way. */
export const MAX_LANES_PER_LINK = 16
/** All lanes that arrived here, those that have not shown a ticket included. */
export const MAX_LANE_SOCKETS = 1_024

/** Kept-open streams of one protocol to one peer: a channel a session, a few protocols a peer. */
export const MAX_STREAMS_PER_PROTOCOL = 64
/** All streams of one connection. */
export const MAX_STREAMS = 512
/** Peers of a mesh, and then some. */
export const MAX_CONNECTIONS = 1_024
/** Connections that have not proven who they are yet, from all hosts and from one. */
export const MAX_UNPROVEN = 1_024
export const MAX_UNPROVEN_PER_HOST = 512
/**
 * What may come over a connection, or a stream, before both ends have agreed on what it is: a handshake takes 400 bytes and a
 * name 60, and nobody sends more before it has the answer.
 */
export const MAX_UNAGREED_BYTES = 4 << 10
/** An unproven connection is cut after this. */
export const UPGRADE_WAIT_MS = 5_000
/** libp2p's own limit is 5 a second, which a mesh on one machine exceeds. */
export const INBOUND_PER_SECOND = 500
export const DIAL_WAIT_MS = 10_000
export const ADDRESS_WAIT_MS = 5_000

/** Heart-beat of a connection that nobody watches: enough to know the round trip. */
export const BEAT_MS = 5_000
/** libp2p's 15 s cut peers that were only busy for longer (measured); this is for machines that are gone. */
export const BEAT_WAIT_MS = 30_000
/** While watched: a beat a second, and 1.5 s for its answer, so a frozen peer is known within 2.5 s. */
export const WATCHED_BEAT_MS = 1_000
/** After one whose round trip is not as those before: six in a row tell a line that has changed, so it is known 9 s after at most. */
export const DOUBT_BEAT_MS = 500
export const WATCHED_WAIT_MS = 1_450
/**
 * A line that loses packets is silent for as long as TCP takes to send again: 0.2, 0.4, 0.8 s, and twice that each time more. At
 * a loss of 5 % each way, three in a row came to one beat in 4,000 and cut a sound peer three times in ten minutes
 * (measured). Where beats differ by more than a busy machine's do, they are waited for longer: four in a row.
 */
export const STEADY_BEATS_MS = 50
export const LOSSY_FACTOR = 20
export const LOSSY_WAIT_MS = 3_500
/**
 * A peer that answers over a second connection is there, but one that is silent for so long is lost, with what goes over it: at a
 * loss of 5 % each way five in a row come to one beat in 100,000, and the sixth would be sent 6 s after.
 */
export const FIRST_WAY_WAIT_MS = 7_000
/** A timer that is later than this was held up by this very process. */
export const LATE_MS = 500

/** Back-off of dials: doubling from here to there, with a jitter of a quarter, without end. */
export const FIRST_RETRY_MS = 1_000
export const LAST_RETRY_MS = 60_000
/** Peers that are dialled or could be. */
export const MAX_TARGETS = 2_048
/** A stranger that has not been announced for this long is not dialled any more. */
export const STRANGER_KEEP_MS = 10 * 60_000

/** What a relay carries. */
export interface RelayLimits {
  /** Peers that may announce themselves as reachable through this one. */
  readonly reservations: number
  /** Circuits in all, and those that have one peer at either end. */
  readonly circuits: number
  readonly circuitsPerPeer: number
  /** Of one circuit, both ways together; undefined: without end. */
  readonly bytes?: number
  readonly milliseconds?: number
}

/** In a mesh with a key. A circuit whose reader stands still holds 8 MiB at most: two windows. */
export const MEMBER_LIMITS: RelayLimits = { reservations: 128, circuits: 64, circuitsPerPeer: 16 }
/** In an open mesh, where whoever comes is a stranger: enough for a model of a gigabyte, and not for ever. */
export const GUEST_LIMITS: RelayLimits = {
  reservations: 32,
  circuits: 16,
  circuitsPerPeer: 4,
  bytes: 1 << 30,
  milliseconds: 60 * 60_000,
}
/** What a relay, and the admin behind it, grant those that are no members yet: enough for a log of twenty thousand entries. */
export const NEWCOMER_LIMITS = {
  /** At a time: of all, and of those that come from one host. */
  circuits: 8,
  circuitsPerHost: 2,
  /** Begun within a minute. */
  perMinute: 60,
  bytes: 64 << 20,
  milliseconds: 60_000,
} as const
/** A question or an answer before a circuit carries bytes. */
export const MAX_CIRCUIT_MESSAGE = 1_024
/** Both halves of a circuit are made in this, or it is not made. */
export const CIRCUIT_WAIT_MS = 5_000
/** A circuit whose bytes nobody has taken for this long is ended: they are held in memory. */
export const CIRCUIT_STALL_MS = 30_000
/** Relays that a peer which cannot be dialled keeps a place at. */
export const WANTED_RELAYS = 2
/** How much later the second of two that lose each other looks for a relay. */
export const RELAY_TURN_MS = 300
/** Relays that are asked for one way to a peer. */
export const MAX_RELAYS_TRIED = 6
/** Who has refused a place is asked again after this. */
export const RESERVE_AGAIN_MS = 60_000

/** Addresses of one peer that are dialled for it, and how often it may ask. */
export const DIAL_BACK_ADDRESSES = 3
export const DIAL_BACK_WAIT_MS = 3_000
export const DIAL_BACK_EVERY_MS = 30_000
/** Who could not dial this peer is asked again after this. */
export const DIAL_BACK_AGAIN_MS = 10 * 60_000
/** Dials for others that are under way. */
export const MAX_DIAL_BACKS = 4
/** Peers that are asked whether they can dial this one. */
export const VANTAGES = 3

/** When ways are tried and left; tests have shorter ones. */
export interface PathTimes {
  /** What the direct addresses get before relays are tried beside them. */
  readonly headStart: number
  /** Between two looks at whether a direct way still answers, and how long the answer may take. */
  readonly look: number
  readonly patience: number
  /** Before the first try to return to a direct way, and between the last ones. */
  readonly firstReturn: number
  readonly lastReturn: number
  /** What the addresses of a peer get before it is met between translators. */
  readonly punch: number
  /** A relayed connection that a direct one has replaced ends when nothing was asked over it for this long, or at last. */
  readonly quiet: number
  readonly drain: number
}

/**
 * A way that is lost without a sign is noticed within a look and the wait for its answer. Before it is given up it is
 * asked once more, beside the new one: 7 s in all, where 10 are promised.
 */
export const PATH_TIMES: PathTimes = {
  headStart: 750,
  look: 3_000,
  patience: WATCHED_WAIT_MS,
  firstReturn: 1_000,
  lastReturn: 30_000,
  punch: 500,
  quiet: 10_000,
  drain: 5 * 60_000,
}
/** With very many connections a look comes after this for each of them: 66 pings a second at most. */
export const LOOK_PER_LINK_MS = 15
/** After this machine's addresses have changed: who does not answer in this is dialled anew. */
export const MOVED_WAIT_MS = 200
/** And who does not answer in this after another connection to the same peer has. */
export const BESIDE_WAIT_MS = 50

/** In which two that know where the other is have met, or do not: a first packet that was lost goes again after a second. */
export const PUNCH_WAIT_MS = 5_000
export const PUNCH_TRY_MS = 2_000
/** Ways past translators that are being made. */
export const MAX_PUNCHES = 4
/** How often one peer may ask for it; its own tries are further apart after the first two. */
export const PUNCH_EVERY_MS = 1_000
/** Translators that give each connection another port let nobody through, however often: so many times, and again much later. */
export const PUNCHES_IN_VAIN = 3
export const PUNCH_AGAIN_MS = 10 * 60_000
