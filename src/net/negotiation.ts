/**
 * What comes to nothing before a handler hears of it. libp2p agrees with the other end on the protocol of each stream by itself:
 * it says no to what nobody here speaks, as often as it is asked, and drops what it cannot read, without a word to anybody. So
 * whoever tries one name after another, or sends garbage there, is counted here.
 */
import type { Connection, Stream, StreamCloseEvent, StreamMuxer } from '@libp2p/interface'
import type { Telemetry } from '../telemetry/index.ts'
import { hostOf, isCircuit } from './addresses.ts'
import type { Defence, Offence } from './defence.ts'
import type { Membership } from './types.ts'
import { capUnagreed } from './unproven.ts'

export interface NegotiationNeeds {
  readonly membership: Membership
  readonly defence?: Defence | undefined
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
}

/** The answer of multistream-select to a name that it does not know, with its length. */
const NO = Buffer.from('\x03na\n')
/** The list of all names, which no program of ours asks for, ends with an empty one. */
const LIST_END = Buffer.from('\n\n')
/** Of libp2p, about names that cannot be read. */
const NO_NAMES = new Set([
  'InvalidMessageError',
  'InvalidMessageLengthError',
  'InvalidDataLengthError',
  'InvalidDataLengthLengthError',
])
/** Of yamux, about frames that no program sends; the encryption around them has found them unchanged. */
const NO_FRAMES = new Set([
  'InvalidFrameError',
  'DecodeInvalidVersionError',
  'UnRequestedPingError',
  'NotMatchingPingError',
  'ReceiveWindowExceededError',
])

/** Watches all streams that the other end opens on a connection, from its first. */
export function watchNegotiation(connection: Connection, needs: NegotiationNeeds): void {
  // libp2p tells of a stream when its protocol is agreed on; the part of a connection that makes them tells of each
  const { muxer } = connection as Connection & { readonly muxer?: StreamMuxer }
  const peer = connection.remotePeer.toString()
  const offend = (offence: Offence): void => {
    needs.defence?.offend(`peer:${peer}`, offence)
    const host = strangersHost(connection, peer, needs.membership)
    // who is no member has another name at no cost, and not another host
    if (host !== undefined) needs.defence?.offend(`host:${host}`, offence)
  }
  muxer?.addEventListener('stream', ({ detail: stream }) => {
    const agreed = (): boolean => stream.protocol !== ''
    capUnagreed(stream, peer, agreed, () => offend('malformed'))
    onRefusals(stream, agreed, () => {
      needs.telemetry?.count('protocols_unknown')
      offend('scan')
    })
    stream.addEventListener('close', (closed) => {
      if (!agreed() && isError(closed, NO_NAMES)) offend('malformed')
    })
  })
  connection.addEventListener('close', (closed) => {
    if (isError(closed, NO_FRAMES)) offend('malformed')
  })
}

/** Calls back for each no, and for each list of names. */
function onRefusals(stream: Stream, agreed: () => boolean, refused: () => void): void {
  const send = stream.send.bind(stream)
  stream.send = (data) => {
    if (!agreed() && isRefusal(data.subarray())) refused()
    return send(data)
  }
}

function isRefusal(bytes: Uint8Array): boolean {
  return NO.equals(bytes) || LIST_END.equals(bytes.subarray(-LIST_END.length))
}

/** What this side has ended it for. */
function isError({ error, local }: StreamCloseEvent, names: ReadonlySet<string>): boolean {
  return local !== false && error !== undefined && names.has(error.name)
}

function strangersHost(connection: Connection, peer: string, membership: Membership): string | undefined {
  const address = connection.remoteAddr.toString()
  if (isCircuit(address) || membership.admits(peer, 'connect')) return undefined
  return hostOf(`${address}/`)
}
