/** Rows on their way to the next hop: as they are computed, and again out of what is kept when that hop was replaced. */
import { DTYPE } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { RUN } from '../host/protocol.ts'
import type { RowDigest } from './digest.ts'
import { KeptRowsError } from './errors.ts'
import { flagged, rowsFrom } from './hop.ts'
import type { FlaggedRows, Hop } from './hop.ts'
import type { KeptChunk } from './kept-rows.ts'
import { decodeResume, RING } from './protocol.ts'
import type { Feed, Resume } from './protocol.ts'
import { sealed } from './witness.ts'

const NOTHING = new Uint8Array(0)
const EARLY = 'guesses came before the route stood'
/** Kept rows that travel together: as many as rows of a prompt. */
const REPLAY_ROWS = 128

export interface OnwardNeeds {
  send(peer: string, message: Frame): Promise<void>
  /** The head says again what it said last. */
  sayAgain(hop: Hop): void
  /** The session cannot go on at this hop. */
  failed(hop: Hop, error: unknown): void
  /** The next hop cannot be reached. */
  broken(hop: Hop, peer: string, error: unknown): void
}

/** Rows that the host of a hop has computed. */
export function passOn(needs: OnwardNeeds, hop: Hop, next: string, message: Frame): void {
  hop.wire = message.dtype
  const computed = rowsOf(hop, message)
  if (computed === undefined) return
  const rewinds = (message.flags & RUN.rewind) !== 0
  const isCurrent = message.attempt === hop.attempt
  const guesses = hop.witness === undefined ? message.control : NOTHING
  // Kept rows that are sent are sent once, and without guesses: an origin makes none before a route has stood its first step.
  const isSent = rewinds && computed.position < (hop.sentTo ?? 0)
  if (isCurrent && hop.paused && !hop.shadow && (isSent || guesses.length > 0)) {
    needs.broken(hop, next, EARLY)
    return
  }
  hop.renewed ||= isCurrent
  if (rewinds) hop.kept.truncate(computed.position)
  hop.kept.add(computed)
  hop.witness?.give(computed.position, computed.payload, computed.count)
  const rows = hop.paused ? undefined : rowsFrom(computed, hop.sendFrom)
  if (rows === undefined) return
  const { attempt } = hop
  const isWhole = computed.count === message.dims[0]
  const flags = isWhole ? message.flags & (RUN.token | RUN.rewind) : 0
  const { step, micros, waited } = message
  const control = isWhole ? guesses : NOTHING
  needs.send(next, nextFrame(hop, { ...rows, flags }, { step, micros, waited, control })).catch((error: unknown) => {
    if (hop.attempt === attempt) needs.broken(hop, next, error)
  })
}

/** What was computed for an older attempt counts as far as that was sure; undefined: not at all. */
function rowsOf(hop: Hop, { position, dims, payload, attempt }: Frame): KeptChunk | undefined {
  const count = dims[0] ?? 0
  const sure = attempt === hop.attempt ? count : Math.min(count, hop.keep - position)
  if (sure <= 0) return undefined
  return {
    position,
    count: sure,
    payload: sure === count ? payload : payload.subarray(0, (payload.length / count) * sure),
  }
}

/** What the next hop lacks is sent again, then what comes. */
export async function resume(needs: OnwardNeeds, hop: Hop, message: Frame): Promise<void> {
  const { attempt, next } = hop
  try {
    const wanted = decodeResume(message)
    hop.keep = wanted.keep ?? Infinity
    if (!hop.renewed) hop.kept.truncate(hop.keep)
    // Behind guesses it is asked again, from the first row whose token was not heard: more than its last answer may be lost.
    if (next === undefined) void (wanted.keep === undefined && needs.sayAgain(hop))
    else if (!(await sendKept(needs, hop, next, wanted))) return
    hop.paused = false
  } catch (error) {
    if (hop.attempt !== attempt) return
    if (next === undefined || error instanceof KeptRowsError) needs.failed(hop, error)
    else needs.broken(hop, next, error)
  }
}

/** False when another attempt has begun meanwhile. @throws KeptRowsError, and what sending throws */
async function sendKept(needs: OnwardNeeds, hop: Hop, next: string, { from, tokensFrom }: Resume): Promise<boolean> {
  const { attempt } = hop
  hop.sendFrom = from
  let sent = from
  while (sent < hop.kept.end) {
    for await (const chunk of hop.kept.from(sent, REPLAY_ROWS)) {
      for (const rows of flagged(chunk, tokensFrom)) {
        if (hop.attempt !== attempt) return false
        await needs.send(next, nextFrame(hop, rows, {}))
      }
      sent = chunk.position + chunk.count
    }
  }
  return hop.attempt === attempt
}

/**
 * Kept rows to a hop that is to take the next one's place, beside what goes to that.
 * @throws SessionRefusedError, KeptRowsError, what sending throws
 */
export async function feedShadow(needs: OnwardNeeds, hop: Hop, feed: Feed): Promise<void> {
  const { attempt } = hop
  await hop.feeds.run(feed.request, (digest) => feedRows(needs, hop, attempt, feed, digest))
}

async function feedRows(needs: OnwardNeeds, hop: Hop, attempt: number, feed: Feed, digest: RowDigest): Promise<void> {
  // The origin counts rows from when it sends them: the last may still be on their way through the stages before.
  await hop.kept.reaches(feed.to, () => hop.attempt === attempt)
  for await (const chunk of hop.kept.from(feed.from, REPLAY_ROWS)) {
    const count = Math.min(chunk.count, feed.to - chunk.position)
    if (count <= 0 || hop.attempt !== attempt) return
    const payload = chunk.payload.subarray(0, (chunk.payload.length / chunk.count) * count)
    for (const rows of flagged({ ...chunk, count, payload }, feed.tokensFrom ?? Infinity)) {
      const message = rowsFrame(hop, rows, {}, digest)
      await needs.send(feed.peer, { ...message, request: feed.request, hop: feed.place, attempt: 0 })
    }
  }
}

/** To the next hop: the first rows of an attempt take the place of what that may have from there on. */
function nextFrame(hop: Hop, rows: FlaggedRows, more: Partial<Frame>): Frame {
  const flags = rows.flags | (hop.sentTo === undefined ? RUN.rewind : 0)
  hop.sentTo = rows.position + rows.count
  return rowsFrame(hop, { ...rows, flags }, more)
}

function rowsFrame(hop: Hop, rows: FlaggedRows, more: Partial<Frame>, digest = hop.sent): Frame {
  const dtype = hop.wire ?? DTYPE.f16
  const width = rows.payload.length / rows.count / (dtype === DTYPE.f16 ? 2 : 4)
  const seal = hop.witness?.seal(hop.request, hop.attempt, rows.position, rows.count)
  return hop.frame({
    ...more,
    type: RING.rows,
    hop: hop.place + 1,
    position: rows.position,
    rows: rows.count,
    flags: rows.flags,
    dtype,
    dims: [rows.count, width],
    digest: digest.next(rows.payload),
    ...(hop.check === undefined ? {} : { stated: hop.check.stated(hop.sender?.peer) }),
    payload: rows.payload,
    ...(seal === undefined ? {} : { control: sealed(seal) }),
  })
}
