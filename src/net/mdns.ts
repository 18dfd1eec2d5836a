/**
 * Announcements over multicast DNS (RFC 6762), one socket an interface, so that each network is asked and told, not
 * only that of the default route. @libp2p/mdns cannot be given an interface, nor sealed contents.
 */
import multicastDNS from 'multicast-dns'
import type { MulticastDNS } from 'multicast-dns'
import type { Logger } from '../telemetry/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import { MAX_ANNOUNCEMENT_BYTES } from './announcement.ts'
import type { AnnouncementCodec } from './announcement.ts'

export const MDNS_PORT = 5353
/** Asked at once, twice more for packets that get lost, then at this rate. */
const ASK_AT_MS = [0, 1_000, 3_000]
const ASK_EVERY_MS = 10_000
/** Answers of many peers to one question are spread over this; questions within it get one answer. */
const ANSWER_SPREAD_MS = 100
const TTL_SECONDS = 120
/** Text in DNS comes in strings of at most 255 bytes. */
const TEXT_BYTES = 250
const MARK = 'weft/1'

export interface MdnsNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly codec: AnnouncementCodec
  /** What to say now, encoded; undefined while there is nothing. */
  announcement(): Uint8Array | undefined
  /** Bytes that came under one of our tags. */
  heard(bytes: Uint8Array, from: string): void
  /** Bytes under another tag that is listened to. */
  overheard(bytes: Uint8Array, from: string): void
  /** It does not work on this interface. */
  trouble(why: string): void
}

export interface MdnsInit {
  /** Address of the interface. */
  readonly address: string
  readonly port: number
  /** Tags to hear and never to answer. */
  readonly alsoHear: readonly string[]
}

export interface MdnsSocket {
  /** Says what is new, without being asked. */
  announce(): void
  stop(): Promise<void>
}

type TextAnswer = { readonly type: string; readonly name: string; readonly data?: unknown }

export function startMdns(needs: MdnsNeeds, init: MdnsInit): MdnsSocket {
  const { clock, codec } = needs
  // bound to the any-address: a socket that is bound to the interface's own does not hear multicast on Linux
  const dns = multicastDNS({ port: init.port, interface: init.address, bind: '0.0.0.0' })
  const instance = Buffer.from(needs.random.bytes(6)).toString('hex')
  const timers = new Set<CancelTimer>()
  let stopped = false
  let answering = false
  const after = (ms: number, action: () => void): void => {
    const cancel = clock.after(ms, () => {
      timers.delete(cancel)
      if (!stopped) action()
    })
    timers.add(cancel)
  }
  const announce = (tags: readonly string[]): void => {
    const bytes = needs.announcement()
    if (stopped || bytes === undefined || bytes.length > MAX_ANNOUNCEMENT_BYTES) return
    for (const tag of tags) sendAnswer(dns, tag, instance, bytes)
  }
  const ask = (): void => {
    dns.query({ questions: [{ name: codec.tag(clock.wall()), type: 'PTR' }] })
    announce([codec.tag(clock.wall())])
  }
  const askAgain = (): void => {
    ask()
    after(ASK_EVERY_MS, askAgain)
  }
  dns.on('query', ({ questions }) => {
    const ours = codec.tags(clock.wall())
    const asked = ours.filter((tag) => questions?.some((question) => question.name === tag))
    if (asked.length === 0 || answering) return
    answering = true
    after((ANSWER_SPREAD_MS * needs.random.bytes(1)[0]!) / 256, () => {
      answering = false
      announce(asked)
    })
  })
  dns.on('response', (response, from) => {
    const answers: readonly TextAnswer[] = [...(response.answers ?? []), ...(response.additionals ?? [])]
    const ours = [...codec.tags(clock.wall()), ...codec.alsoHeard(clock.wall())]
    for (const answer of answers) {
      const bytes = textOf(answer)
      if (bytes === undefined) continue
      if (ours.some((tag) => answer.name.endsWith(tag))) needs.heard(bytes, from.address)
      else if (init.alsoHear.some((tag) => answer.name.endsWith(tag))) needs.overheard(bytes, from.address)
    }
  })
  const trouble = (error: Error): void => {
    needs.logger.debug({ interface: init.address, err: error }, 'multicast DNS has trouble on an interface')
    if (!stopped) needs.trouble(error.message)
  }
  // warnings are packets that others have sent damaged; only errors are ours
  dns.on('warning', (error) => needs.logger.debug({ interface: init.address, err: error }, 'multicast DNS warning'))
  dns.on('error', trouble)
  for (const at of ASK_AT_MS) after(at, ask)
  after(ASK_EVERY_MS, askAgain)
  return {
    announce: () => announce([codec.tag(clock.wall())]),
    stop: () => {
      stopped = true
      for (const cancel of timers) cancel()
      return new Promise((resolve) => dns.destroy(() => resolve()))
    },
  }
}

function sendAnswer(dns: MulticastDNS, tag: string, instance: string, bytes: Uint8Array): void {
  const strings = [Buffer.from(MARK)]
  for (let at = 0; at < bytes.length; at += TEXT_BYTES) strings.push(Buffer.from(bytes.subarray(at, at + TEXT_BYTES)))
  dns.respond([
    { name: tag, type: 'PTR', ttl: TTL_SECONDS, data: `${instance}.${tag}` },
    { name: `${instance}.${tag}`, type: 'TXT', ttl: TTL_SECONDS, data: strings },
  ])
}

/** The bytes of a text record of ours. */
function textOf(answer: TextAnswer): Uint8Array | undefined {
  if (answer.type !== 'TXT' || !Array.isArray(answer.data)) return undefined
  const strings = answer.data as readonly unknown[]
  const [mark, ...rest] = strings.filter((one) => one instanceof Uint8Array)
  if (mark === undefined || Buffer.from(mark).toString('latin1') !== MARK) return undefined
  return Buffer.concat(rest)
}
