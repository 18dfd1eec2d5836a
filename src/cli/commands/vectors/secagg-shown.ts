/** The intermediate values of a session, by the functions that its members use. */
import {
  channelKeys,
  decodeWords,
  headerBytes,
  maskStream,
  pairKey,
  selfKey,
  split,
  unpack,
} from '../../../federated/index.ts'
import { coefficientsOf, crypto, updateOf } from './secagg-fields.ts'
import type { Members } from './secagg-members.ts'
import type { Talk } from './secagg-session.ts'
import { hexOf } from './suite.ts'
import type { VectorCase } from './suite.ts'

const HEAD = 8

export function shownKeys(members: Members, talk: Talk): VectorCase {
  const { roster, header } = members
  const clients = members.createClients()
  const entries = clients.map(({ advertisement }) => advertisement)
  const sid = members.sessionId(crypto, headerBytes(header), entries)
  const pairs: [name: string, key: Uint8Array][] = []
  const channels: [name: string, key: Uint8Array][] = []
  for (const [i, own] of roster.entries()) {
    for (const [j, peer] of roster.entries()) {
      if (i === j) continue
      const { s, c } = peer.secrets
      if (i < j) {
        pairs.push([`${i}-${j}`, pairKey(crypto, sid, own.secrets.s, { position: j, publicKey: s.publicKey })])
      }
      const keys = channelKeys(crypto, sid, { ...own.secrets.c, position: i }, { position: j, publicKey: c.publicKey })
      channels.push([`${i}-${j}`, keys.out])
    }
  }
  const self = roster.map(({ secrets }) => selfKey(crypto, sid, secrets.b))
  const head = (key: Uint8Array): number[] => headOf(key, Math.min(HEAD, header.d))
  return {
    c_pk: entries.map(({ channelKey }) => hexOf(channelKey)),
    s_pk: entries.map(({ maskKey }) => hexOf(maskKey)),
    commitment: entries.map(({ commitment }) => hexOf(commitment)),
    ...(members.hasIdentities ? { identity_pk: roster.map(({ identity }) => hexOf(identity)) } : {}),
    ...(members.hasHeader
      ? {
          header: hexOf(headerBytes(header)),
          advertise_signature: entries.map(({ signature }) => hexOf(signature)),
        }
      : {}),
    sid: hexOf(sid),
    pair_key: hexBy(pairs),
    channel_key: hexBy(channels),
    self_key: self.map(hexOf),
    prg_head: {
      pair: Object.fromEntries(pairs.map(([name, key]) => [name, head(key)])),
      self: self.map(head),
    },
    shares: shownShares(members),
    ciphertext: hexBy(
      [...talk.sealed].flatMap(([from, list]) =>
        list.map(({ position, data }): [string, Uint8Array] => [`${from}-${position}`, data]),
      ),
    ),
  }
}

function headOf(key: Uint8Array, count: number): number[] {
  const bytes = maskStream(crypto, key).next(count * 4)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: count }, (_, index) => view.getUint32(index * 4, true))
}

function shownShares({ roster, header: { t }, label }: Members): VectorCase {
  const coefficient = coefficientsOf(label)
  const of = (kind: 'S' | 'B'): string[][] =>
    roster.map(({ secrets }, position) => {
      const secret = kind === 'S' ? secrets.s.secret : secrets.b
      const coefficients = Array.from({ length: t - 1 }, (_, k) => coefficient(kind, position, k + 1))
      return split(secret, roster.length, t, coefficients).map(({ y }) => hexOf(y))
    })
  return { s: of('S'), b: of('B') }
}

export function shownSum(members: Members, { vectors, ballots, sum }: Talk, shown: boolean): VectorCase {
  const { header, roster } = members
  const by = <T>(value: (position: number) => T): Record<string, T> =>
    Object.fromEntries([...vectors.keys()].map((position) => [position, value(position)]))
  const words = (position: number): number[] => {
    const encoded = new Uint32Array(header.d)
    updateOf(roster[position]!.input, header).read(0, encoded)
    return Array.from(encoded, (word) => (header.bits === 32 ? word : word % 2 ** header.bits))
  }
  const packed = (position: number): Uint8Array => vectors.get(position)!.packed
  return {
    ...(shown
      ? {
          encoded: by(words),
          masked: by((position) => [...unpack(packed(position), header.bits, header.d)]),
        }
      : {}),
    masked_digest: by((position) => hexOf(vectors.get(position)!.digest)),
    ...(members.hasIdentities
      ? {
          masked_signature: by((position) => hexOf(vectors.get(position)!.signature)),
          survivors_signature: hexBy([...ballots].map(([position, signature]) => [String(position), signature])),
        }
      : {}),
    ...(shown ? { sum: [...sum.words], decoded: [...decodeWords(sum.words, header.bits, header.f)] } : {}),
  }
}

function hexBy(entries: readonly (readonly [string, Uint8Array])[]): VectorCase {
  return Object.fromEntries(entries.map(([name, bytes]) => [name, hexOf(bytes)]))
}
