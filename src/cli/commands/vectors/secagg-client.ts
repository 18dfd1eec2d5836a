/** `secagg`, op `client`: one honest member, and whatever an aggregator sends it. */
import { concat, FederatedError, SecureClient, volatileSignedRounds } from '../../../federated/index.ts'
import type { Advertisement, MaskedTrailer } from '../../../federated/index.ts'
import { objectOf, objectsOf, sizedBytesOf } from './numbers.ts'
import {
  coefficientsOf,
  crypto,
  headerOf,
  keyPairOf,
  nonceOf,
  parametersOf,
  recordsOf,
  shownReveal,
  updateOf,
} from './secagg-fields.ts'
import { asBytes, bytesOf, hexOf, Refusal, textOf, wholeOf } from './suite.ts'
import type { VectorCase } from './suite.ts'
import { listOf } from './numbers.ts'

const U32 = 0xffffffff

export function clientCase(input: VectorCase): VectorCase {
  const client = clientOf(input)
  const replies: VectorCase[] = [{ advertise: shownEntry(client.advertisement) }]
  for (const event of objectsOf(input, 'script')) {
    try {
      replies.push(reply(client, event))
    } catch (error) {
      if (!(error instanceof FederatedError)) throw error
      const { kind, party, index } = error
      const place = { ...(party === undefined ? {} : { party }), ...(index === undefined ? {} : { index }) }
      replies.push({ abort: { kind, ...place } })
      break
    }
  }
  return { replies }
}

function clientOf(input: VectorCase): SecureClient {
  const parameters = parametersOf(input)
  const me = objectOf(input, 'me')
  const seed = sizedBytesOf(me, 'identity', 32)
  const needs = {
    crypto,
    coefficient: coefficientsOf(textOf(me, 'coefficients')),
    signedRounds: volatileSignedRounds(),
  }
  return new SecureClient(needs, {
    header: headerOf(objectOf(input, 'header'), parameters),
    members: listOf(input, 'members').map((member) => asBytes(member, 'members')),
    identity: { publicKey: crypto.ed25519Public(seed), sign: (message) => crypto.sign(seed, message) },
    secrets: { s: keyPairOf(me, 's'), c: keyPairOf(me, 'c'), b: sizedBytesOf(me, 'b', 32), nonce: nonceOf(me) },
    records: recordsOf(me),
    minimumRecords: wholeOf(input, 'records_min', 0, U32, 0),
    update: updateOf(me, parameters),
  })
}

function reply(client: SecureClient, event: VectorCase): VectorCase {
  if (event['roster'] !== undefined) {
    const { sid, index, sealed } = client.roster(objectsOf(event, 'roster').map(entryOf))
    return {
      shares: {
        sid: hexOf(sid),
        index,
        data: sealed.map(({ position, data }) => ({ to: position, data: hexOf(data) })),
      },
    }
  }
  if (event['ciphertexts'] !== undefined) {
    const sealed = objectsOf(event, 'ciphertexts').map((one) => ({
      position: place(one, 'from'),
      data: bytesOf(one, 'data'),
    }))
    const { packed, digest, signature } = upload(client.ciphertexts(sealed))
    return { masked: { data: hexOf(packed), digest: hexOf(digest), signature: hexOf(signature) } }
  }
  if (event['survivors'] !== undefined) {
    const survivors = objectsOf(event, 'survivors').map((one) => ({
      position: place(one, 'party'),
      digest: bytesOf(one, 'digest'),
      signature: bytesOf(one, 'signature'),
    }))
    return { consistency: { signature: hexOf(client.survivors(survivors).signature) } }
  }
  if (event['consistency'] !== undefined) {
    const ballots = objectsOf(event, 'consistency').map((one) => ({
      position: place(one, 'party'),
      signature: bytesOf(one, 'signature'),
    }))
    return { reveal: shownReveal(client.consistency(ballots)) }
  }
  throw new Refusal('malformed', 'an event is none of roster, ciphertexts, survivors, consistency')
}

export function upload(vector: Generator<Uint8Array, MaskedTrailer>): MaskedTrailer & { readonly packed: Uint8Array } {
  const parts: Uint8Array[] = []
  let next = vector.next()
  while (next.done !== true) {
    parts.push(next.value)
    next = vector.next()
  }
  return { ...next.value, packed: concat(...parts) }
}

/** An aggregator may name anybody. */
function place(input: VectorCase, field: string): number {
  return wholeOf(input, field, -1, U32)
}

export function shownEntry(entry: Advertisement): VectorCase {
  return {
    identity_pk: hexOf(entry.identity),
    c_pk: hexOf(entry.channelKey),
    s_pk: hexOf(entry.maskKey),
    commitment: hexOf(entry.commitment),
    nonce: hexOf(entry.nonce),
    records: entry.records,
    signature: hexOf(entry.signature),
  }
}

function entryOf(input: VectorCase): Advertisement {
  return {
    identity: bytesOf(input, 'identity_pk'),
    channelKey: bytesOf(input, 'c_pk'),
    maskKey: bytesOf(input, 's_pk'),
    commitment: bytesOf(input, 'commitment'),
    nonce: bytesOf(input, 'nonce'),
    records: wholeOf(input, 'records', 0, U32),
    signature: bytesOf(input, 'signature'),
  }
}
