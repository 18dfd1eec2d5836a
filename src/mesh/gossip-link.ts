/** One channel of the mesh protocol: what waits to be sent to one peer, and what it has told us so far. */
import type { Channel, Frame } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { MeshProtocolError } from './errors.ts'
import { digestFrames, goodbyeFrame, GOSSIP, readDigest, recordFrame, summaryFrame } from './gossip-wire.ts'
import { LINK_BURST, LINK_RECORDS_PER_SECOND, MAX_DIGEST_ENTRIES, MAX_RECORD_BYTES } from './limits.ts'
import type { DigestEntry, RecordBook } from './record-book.ts'
import { recordId } from './records.ts'

export interface GossipLink {
  readonly peer: string
  readonly closed: Promise<Error | undefined>
  /** The newest version of this record goes out when its turn comes. */
  push(id: string): void
  compare(): void
  sendDigest(reply: boolean): void
  goodbye(): Promise<void>
  close(): Promise<void>
  abort(why: string): void
}

export interface GossipLinkNeeds {
  readonly channel: Channel
  readonly clock: Clock
  readonly book: RecordBook
  /** Milliseconds since the author was heard; 0 for ourselves and who is connected. */
  readonly ageOf: (author: string) => number
  readonly received: (bytes: Uint8Array, age: number, link: GossipLink) => void
  readonly farewell: (peer: string) => void
}

export function createGossipLink(needs: GossipLinkNeeds): GossipLink {
  const { channel, book, clock } = needs
  const peer = channel.remote
  /** Ids of records, sent one at a time: a slow peer costs one entry a record, whatever the number of updates. */
  const waiting = new Set<string>()
  const messages: Frame[] = []
  let pumping = false
  let told: DigestEntry[] = []
  const tooFast = createPace(clock)

  const isWaiting = (type: number): boolean => messages.some((message) => message.type === type)

  const next = (): Frame | undefined => {
    const message = messages.shift()
    if (message !== undefined) return message
    for (const id of waiting) {
      waiting.delete(id)
      const record = book.get(id)
      if (record !== undefined) return recordFrame(record.bytes, needs.ageOf(record.author))
    }
    return undefined
  }

  const pump = async (): Promise<void> => {
    if (pumping) return
    pumping = true
    try {
      for (let message = next(); message !== undefined; message = next()) await channel.send(message)
    } catch {
      // `closed` tells: whoever keeps the links opens another.
      waiting.clear()
      messages.length = 0
    }
    pumping = false
  }

  const link: GossipLink = {
    peer,
    closed: channel.closed,
    push(id) {
      waiting.add(id)
      void pump()
    },
    compare() {
      if (!isWaiting(GOSSIP.summary)) messages.push(summaryFrame(book.hash()))
      void pump()
    },
    sendDigest(reply) {
      // One digest waits at most: the next comparison makes up for what changes meanwhile.
      if (!isWaiting(GOSSIP.digest)) messages.push(...digestFrames(book.entries(), reply))
      void pump()
    },
    goodbye: () => channel.send(goodbyeFrame()).catch(() => undefined),
    close: () => channel.close(),
    abort: (why) => channel.abort(new MeshProtocolError(peer, why)),
  }

  const onDigest = (entries: readonly DigestEntry[], reply: boolean): void => {
    const theirs = new Map(entries.map(([kind, key, author, version]) => [recordId({ kind, author, key }), version]))
    for (const [kind, key, author, version] of book.entries()) {
      const id = recordId({ kind, author, key })
      if (version > (theirs.get(id) ?? 0)) link.push(id)
    }
    const lacking = [...theirs].some(([id, version]) => version > book.version(id))
    if (reply && lacking) link.sendDigest(false)
  }

  channel.onFrame((message) => {
    if (message.type === GOSSIP.summary) {
      if (Buffer.compare(message.digest, book.hash()) !== 0) link.sendDigest(true)
      return undefined
    }
    if (message.type === GOSSIP.digest) {
      const part = readDigest(message.control)
      if (part === undefined) throw new MeshProtocolError(peer, 'its digest is malformed')
      told.push(...part.entries)
      if (told.length > MAX_DIGEST_ENTRIES) throw new MeshProtocolError(peer, 'its digest is too long')
      if (!part.last) return undefined
      const whole = told
      told = []
      onDigest(whole, part.reply)
      return undefined
    }
    if (message.type === GOSSIP.record) {
      if (message.payload.length > MAX_RECORD_BYTES) throw new MeshProtocolError(peer, 'a record is too large')
      needs.received(message.payload, message.step * 1000, link)
      // Not reading on is what slows a flood down.
      return tooFast()
    }
    if (message.type === GOSSIP.goodbye) needs.farewell(peer)
    // Other types belong to later versions.
    return undefined
  })

  return link
}

/** A promise to wait for when records come faster than the pace of a link. */
function createPace(clock: Clock): () => Promise<void> | undefined {
  let tokens = LINK_BURST
  let at = clock.now()
  return () => {
    const now = clock.now()
    tokens = Math.min(LINK_BURST, tokens + ((now - at) / 1000) * LINK_RECORDS_PER_SECOND) - 1
    at = now
    return tokens >= 0 ? undefined : clock.sleep((-tokens / LINK_RECORDS_PER_SECOND) * 1000)
  }
}
