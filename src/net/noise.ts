/**
 * Noise as weft uses it (DESIGN decision 9): the prologue follows from the network key, so that a peer of another
 * network fails in the handshake, at no cost a byte. libp2p forgets why an inbound handshake failed and who it was
 * that turned out to be ourselves; both are noted here.
 */
import { noise } from '@chainsafe/libp2p-noise'
import type { NoiseComponents, NoiseExtensions } from '@chainsafe/libp2p-noise'
import type {
  ConnectionEncrypter,
  MessageStream,
  PrivateKey,
  SecuredConnection,
  SecureConnectionOptions,
} from '@libp2p/interface'
import { noiseCrypto } from './noise-crypto.ts'
import type { NetworkSecrets } from './secrets.ts'

/** Above this the copy costs more than the packet (measured: 64 KB gains nothing). */
const JOIN_BYTES = 20 << 10

export type HandshakeFailure =
  /** Another network key, or no weft at all: the proof within the handshake did not fit. */
  | 'other-network'
  /** Another peer than the one that was dialled. */
  | 'other-peer'
  /** Our own key, on another machine or in another process. */
  | 'own-identity'
  /** We have reached ourselves. */
  | 'self'

export interface HandshakeNote {
  readonly failure: HandshakeFailure
  readonly direction: 'inbound' | 'outbound'
  /** Multiaddr of the other end, when the transport knows it. */
  readonly address: string | null
}

interface WeftNoiseInit {
  readonly secrets: NetworkSecrets
  /** Fresh for each run, to tell ourselves from a copy of our identity. */
  readonly instance: Uint8Array
  note(note: HandshakeNote): void
  /** Resolves when a handshake of somebody that came from this address may begin. */
  turn?(address: string | null): Promise<void>
}

type Encrypter = ConnectionEncrypter<NoiseExtensions>

export function weftNoise(init: WeftNoiseInit): (components: NoiseComponents) => Encrypter {
  const inner = noise({
    prologueBytes: init.secrets.prologue,
    crypto: noiseCrypto(init.secrets.handshake),
    // the one free-form field of the handshake payload; its official use (WebTransport) does not exist here
    extensions: { webtransportCerthashes: [init.instance] },
  })
  return (components) => {
    const encrypter = inner(withKey(components, signingOnce(components.privateKey)))
    const self = components.peerId.toString()
    const watch = async (
      direction: 'inbound' | 'outbound',
      stream: MessageStream,
      secured: Promise<SecuredConnection<NoiseExtensions>>,
    ): Promise<SecuredConnection<NoiseExtensions>> => {
      const address = addressOf(stream)
      joinSmallSends(stream)
      try {
        const result = await secured
        if (result.remotePeer.toString() === self)
          init.note({ failure: ownOrCopy(result.remoteExtensions, init.instance), direction, address })
        return result
      } catch (error) {
        const failure = classify(error)
        if (failure !== undefined) init.note({ failure, direction, address })
        throw error
      }
    }
    return {
      protocol: encrypter.protocol,
      secureInbound: async (stream: MessageStream, options?: SecureConnectionOptions) => {
        await init.turn?.(addressOf(stream))
        return watch('inbound', stream, encrypter.secureInbound(stream, options))
      },
      secureOutbound: (stream: MessageStream, options?: SecureConnectionOptions) =>
        watch('outbound', stream, encrypter.secureOutbound(stream, options)),
      [Symbol.toStringTag]: 'weft-noise',
    } as Encrypter
  }
}

/** The key of noise is one for the life of this peer, and each handshake shows the same signature of it: it is made once. */
function signingOnce(key: PrivateKey): PrivateKey {
  const made = new Map<string, ReturnType<PrivateKey['sign']>>()
  const sign: PrivateKey['sign'] = (data, options) => {
    const text = Buffer.from(data.subarray()).toString('latin1')
    const known = made.get(text)
    if (known !== undefined) return known
    // one for each direction, were the text ever to differ
    made.clear()
    const signature = key.sign(data, options)
    made.set(text, signature)
    return signature
  }
  return new Proxy(key, { get: (of, name) => (name === 'sign' ? sign : Reflect.get(of, name, of)) as unknown })
}

/** libp2p's components are not all there yet when it asks for noise: each is looked up when it is used. */
function withKey(components: NoiseComponents, privateKey: PrivateKey): NoiseComponents {
  return new Proxy(components, {
    get: (of, name) => (name === 'privateKey' ? privateKey : Reflect.get(of, name)) as unknown,
  })
}

/**
 * A noise message is a list: length, ciphertext, tag. Written one by one, its two bytes of length leave alone and wake
 * the other side for nothing; joined, a message is one packet (16 KB round trip: a third less time and CPU).
 */
function joinSmallSends(stream: MessageStream): void {
  const send = stream.send.bind(stream)
  stream.send = (data) => send(data.byteLength <= JOIN_BYTES ? data.subarray() : data)
}

function ownOrCopy(extensions: NoiseExtensions | undefined, instance: Uint8Array): 'self' | 'own-identity' {
  const other = extensions?.webtransportCerthashes[0]
  return other !== undefined && Buffer.from(other).equals(instance) ? 'self' : 'own-identity'
}

/** A time-out or a link that broke says nothing about keys; everything else within the handshake does. */
function classify(error: unknown): HandshakeFailure | undefined {
  const { name, code } = error as { name?: string; code?: string }
  if (name === 'UnexpectedPeerError') return 'other-peer'
  if (name === 'TimeoutError' || name === 'AbortError' || code === 'ETIMEDOUT' || code === 'EPIPE') return undefined
  return 'other-network'
}

function addressOf(stream: MessageStream): string | null {
  const address = (stream as { remoteAddr?: { toString(): string } }).remoteAddr
  return address === undefined ? null : address.toString()
}
