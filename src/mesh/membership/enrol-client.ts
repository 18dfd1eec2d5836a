/** A joiner's side of an invite. */
import { timingSafeEqual } from 'node:crypto'
import { ForwardedError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { knock } from '../../net/index.ts'
import type { Channel, Frame } from '../../net/index.ts'
import {
  decodeEntry,
  doorKey,
  EnrolUnreachableError,
  EnrolUntrustedError,
  INVITE_ERRORS,
  MEMBERSHIP_ERRORS,
  secretHash,
} from '../../trust/index.ts'
import type { Entry, Identity, InviteToken } from '../../trust/index.ts'
import { Inbox } from '../../util/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../../util/index.ts'
import { MeshProtocolError } from '../errors.ts'
import { readEntries } from './entry-frames.ts'
import { ENROL, ENROL_PROTOCOL, enrolFrame, enrolMac, NONCE_BYTES, readEnrol } from './enrol-wire.ts'
import { provenAdmins } from './lineage.ts'

/** For each address, and again from one message of the admin to the next: a long log comes in many. */
const ADDRESS_MS = 15_000
const MAX_LOG_BYTES = 1 << 30

export interface EnrolOutcome {
  readonly entries: readonly Entry[]
  readonly admin: string
  /** The admin's address that answered. */
  readonly address: string
  /** Milliseconds by which the admin's clock is ahead of ours. */
  readonly ahead: number
}

export interface EnrolInit {
  readonly token: InviteToken
  readonly name: string
}

/**
 * Tries the addresses of the invite, one after the other. Nothing of the invite's secret is sent to anybody who does not
 * prove to be an admin. @throws EnrolUnreachableError, EnrolUntrustedError, and what the admin refuses with
 */
export async function enrol(
  needs: { readonly identity: Identity; readonly random: RandomSource; readonly clock: Clock },
  { token, name }: EnrolInit,
  signal?: AbortSignal,
): Promise<EnrolOutcome> {
  const whys: string[] = []
  for (const address of token.addresses) {
    const deadline = deadlineOf(needs.clock)
    const either = signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal])
    const init = { networkKey: doorKey(token.cluster), address, protocol: ENROL_PROTOCOL }
    try {
      const knocked = await knock(needs, init, either).catch((error: unknown) => {
        signal?.throwIfAborted()
        whys.push(error instanceof Error ? error.message : String(error))
        return undefined
      })
      if (knocked === undefined) continue
      try {
        const init = { token, name, signal: either, stepped: () => deadline.again() }
        return { ...(await talk(needs, knocked.channel, init)), address }
      } finally {
        await knocked.stop()
      }
    } finally {
      deadline.cancel()
    }
  }
  throw new EnrolUnreachableError(token.addresses, whys.slice(-2).join('; '))
}

function deadlineOf(clock: Clock): { readonly signal: AbortSignal; again(): void; cancel(): void } {
  const late = new AbortController()
  const begin = (): CancelTimer => clock.after(ADDRESS_MS, () => late.abort(new Error('no answer in time')))
  let cancel = begin()
  return {
    signal: late.signal,
    again() {
      cancel()
      cancel = begin()
    },
    cancel: () => cancel(),
  }
}

interface TalkInit extends EnrolInit {
  readonly signal: AbortSignal
  /** The other side has said something. */
  stepped(): void
}

async function talk(
  needs: { readonly identity: Identity; readonly random: RandomSource; readonly clock: Clock },
  channel: Channel,
  { token, name, signal, ...more }: TalkInit,
): Promise<Omit<EnrolOutcome, 'address'>> {
  const peer = channel.remote
  const inbox = new Inbox<Frame>()
  channel.onFrame((message) => {
    more.stepped()
    inbox.push(message)
  })
  void channel.closed.then((reason) => inbox.fail(reason ?? new MeshProtocolError(peer, 'it hung up')))
  const onAbort = (): void => channel.abort(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const nonce = needs.random.bytes(NONCE_BYTES)
    const names = { cluster: token.cluster, admin: peer, joiner: needs.identity.id, nonce }
    const key = secretHash(token.secret)
    await channel.send(enrolFrame('ask', { invite: token.invite, nonce, mac: enrolMac(key, 'joiner', names) }))
    const { mac } = readEnrol(peer, 'proof', await inbox.take())
    if (!timingSafeEqual(mac, enrolMac(key, 'admin', names)))
      throw new EnrolUntrustedError('it has not made this invite, or has taken it back')
    const admins = provenAdmins(token.cluster, await entriesOf(inbox, peer, ENROL.entries))
    if (typeof admins === 'string') throw new EnrolUntrustedError(admins)
    if (!admins.has(peer)) throw new EnrolUntrustedError('it is no admin of that cluster (any more)')
    await channel.send(enrolFrame('handIn', { secret: token.secret, name }))
    const { clock } = readEnrol(peer, 'joined', accepted(peer, await inbox.take()))
    const entries = (await entriesOf(inbox, peer, ENROL.log)).map(decodeEntry)
    return { entries, admin: peer, ahead: clock - needs.clock.wall() }
  } finally {
    signal.removeEventListener('abort', onAbort)
    void channel.close().catch(() => undefined)
  }
}

/** A message that is no refusal. @throws what the admin refuses with */
function accepted(peer: string, message: Frame): Frame {
  if (message.type === ENROL.refused) throw refusal(readEnrol(peer, 'refused', message))
  return message
}

async function entriesOf(inbox: Inbox<Frame>, peer: string, type: number): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const message = accepted(peer, await inbox.take())
    if (message.type !== type) throw new MeshProtocolError(peer, `message ${message.type} came in place of ${type}`)
    const { entries, last } = readEntries(peer, message)
    all.push(...entries)
    bytes += message.payload.length
    if (bytes > MAX_LOG_BYTES) throw new MeshProtocolError(peer, 'its log is too long')
    if (last) return all
  }
}

/** The admin's own words, under its code. */
function refusal(data: { code: string; message: string; why: string | null; hint: string | null }): Error {
  const info: ErrorInfo | undefined = [...INVITE_ERRORS, ...MEMBERSHIP_ERRORS].find(({ code }) => code === data.code)
  if (info === undefined) return new EnrolUntrustedError(`${data.code}: ${data.message}`)
  return new ForwardedError(info, { ...data, details: {} })
}
