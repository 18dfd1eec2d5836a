/** Every limit of the HTTP side, with its reason. Tests and unusual sites may set others. */

export interface ApiLimits {
  /** Bytes of a request body: the longest context we serve is near 500 KB of text. */
  readonly bodyBytes: number
  /** Bytes of a request for embeddings: a thousand texts of some KB, which clients send at once. */
  readonly embeddingBytes: number
  /** Bytes of a request with a plan of a federation, which may name tens of thousands of columns. */
  readonly planBytes: number
  /** Bytes of a file of requests for a batch: fifty thousand of some hundred bytes, in memory while they are read. */
  readonly batchBytes: number
  /** Bytes that are read on, and thrown away, of a body that was refused: clients send first and read then. */
  readonly discardedBytes: number
  /** Milliseconds after which a client that sends no more of such a body is cut. */
  readonly discardSilenceMs: number
  /** Nesting of a JSON body: ours needs 6; deep nesting costs stack in whatever reads it later. */
  readonly jsonDepth: number
  /** Milliseconds for the headers of a request: a browser needs one packet. Slow-loris ends here. */
  readonly headersMs: number
  /** Milliseconds for a whole request, body included: 1 MiB at 35 KB/s. */
  readonly requestMs: number
  /** Milliseconds an idle connection stays open: a thousand idle ones are gone soon. */
  readonly keepAliveMs: number
  /** How often Node looks for connections that are over their time, milliseconds. */
  readonly checkMs: number
  /** Open connections: file descriptors are 1,024 by default on many systems, and stages need some. */
  readonly connections: number
  /** Requests over one connection, pipelined ones included. */
  readonly requestsPerConnection: number
  /** Generations and jobs at once from one address, those that wait for room too: behind a proxy or on loopback many people share one. */
  readonly inFlightPerAddress: number
  /** Generations and jobs at once in all; each holds a session in every stage. */
  readonly inFlight: number
  /** Readers of `/api/v1/events` at once. */
  readonly eventStreams: number
  /** Milliseconds that a client may leave a full buffer unread before it is cut: its session holds memory elsewhere. */
  readonly stallMs: number
  /** Milliseconds of silence after which a comment is sent: proxies cut quiet connections after 30 s or more. */
  readonly keepAliveCommentMs: number
  /**
   * Milliseconds between comments while an answer is waited for: people and impatient clients want a sign. Before the
   * first of them errors have a status, after it they stand in the stream; what fails fast has failed by then.
   */
  readonly waitCommentMs: number
  /** Milliseconds that a streamed answer waits for its client to come back, where the request does not say: a hiccup. */
  readonly resumeMs: number
  /** Answers that wait for their clients at once: each holds a session in every stage. */
  readonly waitingStreams: number
  /** Events of one answer that are kept for who comes back: more tokens than most answers have. */
  readonly keptEvents: number
  /** Bytes of these. */
  readonly keptBytes: number
  /** Bytes of these of all answers; beyond it each keeps a sixteenth, and those that have ended go. */
  readonly keptBytesInAll: number
  /** Milliseconds that an answer is kept after its end, for a client that lost the last of it. */
  readonly tailMs: number
  /** Answers that are kept after their end. */
  readonly endedStreams: number
  /** Milliseconds for the answers that are looked up, not computed. */
  readonly answerMs: number
}

export const DEFAULT_LIMITS: ApiLimits = {
  bodyBytes: 1 << 20,
  embeddingBytes: 4 << 20,
  planBytes: 5 << 20,
  batchBytes: 32 << 20,
  discardedBytes: 256 << 20,
  discardSilenceMs: 1_000,
  jsonDepth: 32,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 5_000,
  checkMs: 2_000,
  connections: 768,
  requestsPerConnection: 1_000,
  inFlightPerAddress: 128,
  inFlight: 256,
  eventStreams: 32,
  stallMs: 30_000,
  keepAliveCommentMs: 15_000,
  waitCommentMs: 2_000,
  resumeMs: 5_000,
  waitingStreams: 64,
  keptEvents: 4_096,
  keptBytes: 1 << 20,
  keptBytesInAll: 64 << 20,
  tailMs: 30_000,
  endedStreams: 256,
  answerMs: 15_000,
}

/** Answers to one request: they are made one after another, each with a session. */
export const MAX_CHOICES = 8
/** As OpenAI has it. */
export const MAX_EMBEDDING_INPUTS = 2_048
/** More than any encoder has. */
export const MAX_DIMENSIONS = 1 << 17
/** Prompts in one completions request. */
export const MAX_PROMPTS = 32
/** OpenAI allows 4; agents use more. */
export const MAX_STOPS = 16
export const MAX_STOP_LENGTH = 256
export const MAX_TOP_LOGPROBS = 20
/** More than any context. */
export const MAX_TOKENS = 1 << 20
/** A day. */
export const MAX_DEADLINE_MS = 86_400_000
/** Ten minutes: a laptop's lid, a train's tunnel. */
export const MAX_RESUME_S = 600
/** Blocks in any model, and stages in any placement. */
export const MAX_BLOCKS = 4_096
export const MAX_STAGES = 256
export const MAX_NAME_LENGTH = 256
/** Token ids are 32-bit in every tokenizer format we read. */
export const MAX_TOKEN_ID = 0x7fff_ffff
/** One frame. */
export const MAX_PING_BYTES = 1 << 20
export const MAX_PINGS = 1_000
