/** Every limit of the mesh, with its reason. Sizes in bytes, times in milliseconds. */

/** Holdings of 80 models with 20 ranges each stay below it; a record is read whole into memory. */
export const MAX_RECORD_BYTES = 64 << 10
/** One profile, one holdings record, and 64 models announced and 64 placed by one peer. */
export const MAX_RECORDS_PER_AUTHOR = 130
export const MAX_BYTES_PER_AUTHOR = 256 << 10
/** Ten times the largest mesh that is planned for. */
export const MAX_AUTHORS = 1024
/** A digest names each of them. */
export const MAX_RECORDS = 16 * MAX_AUTHORS
/** What all records may take: on the smallest device (512 MB) an eighth. */
export const MAX_BOOK_BYTES = 64 << 20
/** Standing placements outlive their authors, so strangers must not fill the book with them. */
export const MAX_PLACED_MODELS = 256
/** Versions of records that were refused or dropped, so that nobody sends them again. */
export const MAX_SHADOWS = 4096

export const MAX_NAME = 200
/** Imports that a peer tells of: those under way, and the last that have ended. */
export const MAX_IMPORTS = 16
/** Heads of other peers' audit logs in a record: 64 are 18 KB. */
export const MAX_AUDIT_HEADS = 64
/** Models whose speed a peer tells: more than it can have loaded. */
export const MAX_PROFILE_MODELS = 64
/** Pairs that a peer tells of: those that it has used. With all of these a profile is a third of a record. */
export const MAX_PROFILE_LINKS = 64
/** Peers that a placement leaves out for its origin's sake. */
export const MAX_SHUNNED = 64
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_LENGTH = 300
/** A model of 1,000 layers has more than any that exists. */
export const MAX_BLOCKS = 10_000
/** Epochs travel as u32 in frames; a jump to the end by one author would close the model for all others. */
export const MAX_EPOCH = 0x7fff_ffff
export const MAX_EPOCH_JUMP = 1 << 20

/**
 * A version may be so far ahead of our clock. A wrong one harms its author alone, and clocks of devices without a battery
 * are off by months or years: a narrow bound would make those devices deaf or mute, a wide one costs nothing.
 */
export const MAX_FUTURE_MS = 10 * 365 * 24 * 3_600_000
/** No peer of this software ran before: a clock that says less is not set. */
export const CLOCK_FLOOR_MS = Date.UTC(2026, 0, 1)

export const ANTI_ENTROPY_MS = 10_000
/** The own profile is published again at least this often: peers without a direct connection see from it that we live. */
export const HEARTBEAT_MS = 30_000
/** A record of ours that comes back is said anew no more often: two peers with one identity would else answer each other. */
export const RECLAIM_MS = 10_000
/** Records of a peer that nobody hears any more are kept so long: a reboot or a lost Wi-Fi is shorter. */
export const AWAY_KEEP_MS = 15 * 60_000
/** How long it is remembered that a record was dropped: everyone else has dropped it by then. */
export const SHADOW_KEEP_MS = 2 * AWAY_KEEP_MS
/** Up to so many peers everybody is connected to everybody, and hears each record from its author. */
export const FULL_MESH = 64
/**
 * In a larger mesh: connections that a peer makes. As many come from others, and a mesh of 1,000 with these stays in one piece
 * when half of it goes.
 */
export const NEIGHBOURS = 24
/** With fewer than these who is heard of is dialled at once; of more, when no further one was heard of for a while, or at last. */
export const FEW_PEERS = 8
export const ACQUAINT_QUIET_MS = 250
export const ACQUAINT_MOST_MS = 2_000
/** Up to so many peers each says every HEARTBEAT_MS that it lives; of more, more seldom: seven records a second in all. */
export const HEARTBEAT_PEERS = 200
/** Who is not connected here and was heard of within so many heart-beats is there. */
export const THERE_BEATS = 2.5
/** Of a large mesh: peers that a record goes to from its author, and from each that it is new to. Anti-entropy brings the rest. */
export const LARGE_PUSH_FANOUT = 24
export const LARGE_FORWARD_FANOUT = 4
/** What came from others waits so long for more, so that it goes on in one frame: five hops of it are the way through a mesh of 1,000. */
export const PASS_ON_MS = 200
/** Several records in one frame: one of the largest, or near a hundred profiles. */
export const MAX_BATCH_BYTES = 128 << 10
/** An epidemic over 8 others reaches a mesh of 1,000 in four hops; anti-entropy finds who was left out. */
export const FORWARD_FANOUT = 8
/** Peers that a round of anti-entropy compares with: 2 KB each, and what differs. */
export const COMPARE_FANOUT = 8
/**
 * Of a large mesh, in the time of a round: comparisons with whom it is newly connected to, who knows the same as the one before;
 * and those of the round itself when more than FULL_MESH records were new since the last one.
 */
export const BUSY_COMPARE_FANOUT = 2
/** Who differs in more buckets than these, a quarter of all, lacks much, and asks one peer at a time for it. */
export const FEW_BUCKETS = 64
/** Such a one has asked somebody for them, and asks no other for so long. */
export const ASKED_MS = 3_000
/** Digests that a peer sends when asked, in the time of a round: a newcomer asks several, and many may come at once. */
export const DIGESTS_TOLD = 32
/** Of what comes from its author itself: that tells all whom it is connected to. */
export const DIRECT_FANOUT = 2
/** Digest entries of one frame: near 170 bytes each. */
export const DIGEST_ENTRIES_PER_FRAME = 1000
export const MAX_DIGEST_ENTRIES = MAX_RECORDS + MAX_SHADOWS
/** Updates of one record: bursts while stages load, then a steady pace. More is a flood, and waits for a comparison. */
export const UPDATE_BURST = 40
export const UPDATES_PER_SECOND = 4
/** After an update was not taken for being too soon, the peer that sent it is asked again. */
export const ASK_AGAIN_MS = 1000
/** Records from one peer: all that a mesh of 100 knows at once (signatures: 0.1 ms each), then a steady pace. */
export const LINK_BURST = 2000
export const LINK_RECORDS_PER_SECOND = 500
export const REOPEN_FIRST_MS = 250
export const REOPEN_LAST_MS = 30_000
/** A peer that is connected and has no gossip after so long is one that speaks none. */
export const OPENING_MS = 3_000
/** A farewell must not hold up the end of the process. */
export const FAREWELL_MS = 500
/** Addresses learnt from records that we keep dialling. */
export const MAX_LEARNT_ADDRESSES = 256
/** A peer that was not dialled again for so long is not being connected any more: twice the longest pause of the dialler. */
export const CONNECTING_KEEP_MS = 2 * 60_000
/** Peers that are being dialled: mDNS names may be made up without end. */
export const MAX_CONNECTING = 1024

/** Piece of a chunk that travels as one frame: others' frames get their turn in between (DESIGN, libp2p.md A3). */
export const PIECE_BYTES = 256 << 10
/** Pieces that a server may send unasked: two chunks, a 100 ms line at 20 MB/s. */
export const CREDIT_PIECES = 8
/** Credits that a client may pile up. */
export const MAX_CREDITS = 64
/** Chunk requests that wait at a holder whose speed is not known yet. */
export const CHUNKS_IN_FLIGHT = 3
/** At a fast one; below MAX_WAITING_REQUESTS by the questions that are not for chunks. */
export const MAX_CHUNKS_IN_FLIGHT = 12
/** Requests of so many milliseconds wait at a holder, so that its line never idles: twice a round trip around the world. */
export const FLIGHT_MS = 500
/** Holders that one fetch asks at a time; more would not fill the line better, and each costs a channel. */
export const HOLDERS_AT_ONCE = 8
/** Where those have nothing of what is left, others are asked beside them, up to so many. */
export const MAX_HOLDERS = 24
/** How often a fetch looks whether somebody is slow, or somebody new is there. */
export const FETCH_TICK_MS = 250
/** A holder that lacks something that is wanted is asked so often what it has by now. */
export const HAVE_POLL_MS = 500
/** Blobs of one `have` question: its control map stays far below that of a frame. */
export const MAX_HAVE_BLOBS = 256
/** Chunk maps of one answer: half a million chunks, 512 GiB. */
export const MAX_HAVE_BYTES = 64 << 10
/** A chunk is fetched from a second holder when the first is so many times slower than that one would be. */
export const RESCUE_FACTOR = 2
/** Before a holder has delivered anything it is given so long. */
export const RESCUE_FIRST_MS = 2_000
/** Chunks that one fetch asks for twice: enough for the end of a transfer, too little to load a line. */
export const MAX_RESCUES = 32
/** Wrong answers for one chunk, from whomever, after which the fetch ends: the manifest or every holder is wrong. */
export const MAX_CHUNK_FAILURES = 10
/** Chunks whose failures are remembered. */
export const MAX_FAILED_CHUNKS = 1024
/** A peer that is asked whether it keeps blobs, so that another may drop them, is not waited for longer. */
export const KEEP_WAIT_MS = 4_000
/** What a holder may take to look at a chunk that it is told about. */
export const COMPLAINT_MS = 5_000
/** Tells a client in mid-answer from one that is done: credits go out in groups, half as many frames. */
export const CREDITS_AT_ONCE = 2
/** Requests of one channel that wait in the server. */
export const MAX_WAITING_REQUESTS = 16
/** Two fetches at a time, each with a lane and the stream on which it asked for that. */
export const MAX_CHANNELS_PER_PEER = 4
/** Over all peers; further ones are told to come back. */
export const MAX_CHANNELS = 64
/** Chunks in the server's memory at once, 1 MiB each. */
export const MAX_CHUNKS_IN_MEMORY = 16
/** Hash list of a blob: 2^40 bytes have 32 MiB of hashes, a 64 GiB tensor has 2 MiB. */
export const MAX_HASH_BYTES = 2 << 20
/** A holder that sends nothing for so long is left, and its chunks are fetched elsewhere. */
export const HOLDER_STALL_MS = 15_000
export const FETCH_STALL_MS = 60_000
/** A blob channel that nobody uses is closed by the server after this. */
export const IDLE_CHANNEL_MS = 60_000
/** How often a holder whose connection broke is tried again in one fetch. */
export const HOLDER_RETRIES = 3
/** A holder that sent a wrong chunk is not asked again for so long. */
export const LIAR_KEEP_MS = 10 * 60_000
export const MANIFEST_TIMEOUT_MS = 15_000
/** Blobs that are open at a time: small tensors would else wait for a round trip each, and the rarest chunk be in none. */
export const BLOBS_IN_FLIGHT = 16
