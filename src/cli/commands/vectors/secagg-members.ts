/** The parties of a case of `secagg`: who they are, how far each gets, and the clients that they run. */
import {
  compareBytes,
  concat,
  EmptyInputError,
  FederatedError,
  SecureClient,
  sessionId,
  ascii,
  checkSum,
  volatileSignedRounds,
} from '../../../federated/index.ts'
import type { Advertisement, Primitives, RoundHeader, RoundSecrets, SumParameters } from '../../../federated/index.ts'
import { objectOf, objectsOf, realOf, sizedBytesOf } from './numbers.ts'
import { coefficientsOf, crypto, headerOf, keyPairOf, nonceOf, recordsOf, updateOf } from './secagg-fields.ts'
import { Refusal, textOf, wholeOf } from './suite.ts'
import type { VectorCase } from './suite.ts'

const LAST = ['none', 'advertise', 'share', 'mask', 'consistency', 'unmask'] as const
type Last = (typeof LAST)[number]
const U32 = 0xffffffff

export interface Member {
  readonly name: string
  readonly input: VectorCase
  readonly seed: Uint8Array
  readonly identity: Uint8Array
  readonly secrets: RoundSecrets
  readonly last: Last
  reaches(stage: Last): boolean
}

export interface Members {
  /** In the order of the roster: who advertised. */
  readonly roster: readonly Member[]
  /** Of all parties listed. */
  readonly identities: readonly Uint8Array[]
  readonly header: RoundHeader
  readonly hasIdentities: boolean
  readonly hasHeader: boolean
  /** With the memory of signatures that it has checked: each is checked by every member. */
  readonly crypto: Primitives
  readonly sessionId: (crypto: Primitives, header: Uint8Array, roster: readonly Advertisement[]) => Uint8Array
  readonly label: string
  createClients(): SecureClient[]
  stages(): VectorCase
  /** Errors name members, not positions. */
  named<T>(action: () => T): T
  /** Errors of one member alone are about it. */
  of<T>(position: number, action: () => T): T
}

export function createMembers(input: VectorCase, parameters: SumParameters): Members {
  const session = objectOf(input, 'session')
  const listed = objectsOf(input, 'parties')
  const hasIdentities = listed.length > 0 && listed.every((party) => party['identity'] !== undefined)
  if (!hasIdentities && listed.some((party) => party['identity'] !== undefined)) {
    throw new Refusal('malformed', 'some parties have an identity and others have none')
  }
  const hasHeader = session['header'] !== undefined
  if (hasHeader && !hasIdentities) throw new Refusal('malformed', 'a session with a header needs identities')
  if (parameters.d === 0) throw new EmptyInputError('the model has no coordinate')
  checkSum(parameters, listed.length, realOf(input, 'noise_sd', 0))
  const all = withIdentities(listed, hasIdentities)
  const roster = all
    .filter((member) => member.last !== 'none')
    .toSorted((left, right) => compareBytes(left.identity, right.identity))
  const header = hasHeader ? headerOf(objectOf(session, 'header'), parameters) : headerOf(UNBOUND, parameters)
  const label = textOf(input, 'coefficients')
  const place = (position: number | undefined): { party?: string } => {
    const name = position === undefined ? undefined : roster[position]?.name
    return name === undefined ? {} : { party: name }
  }
  const refusing = <T>(action: () => T, own?: number): T => {
    try {
      return action()
    } catch (error) {
      if (!(error instanceof FederatedError)) throw error
      const index = error.index === undefined ? {} : { index: error.index }
      throw new Refusal(error.kind, error.message, { ...place(error.party ?? own), ...index })
    }
  }
  const remembering = withMemory(crypto)
  const id = sessionOf(session)
  return {
    roster,
    identities: all.map(({ identity }) => identity),
    header,
    hasIdentities,
    hasHeader,
    crypto: remembering,
    sessionId: id,
    label,
    createClients: () =>
      roster.map((member, position) =>
        refusing(
          () =>
            new SecureClient(
              {
                crypto: remembering,
                coefficient: coefficientsOf(label),
                signedRounds: volatileSignedRounds(),
                sessionId: id,
              },
              {
                header,
                members: all.map(({ identity }) => identity),
                identity: {
                  publicKey: member.identity,
                  sign: (message) => crypto.sign(member.seed, message),
                },
                secrets: copied(member.secrets),
                records: recordsOf(member.input),
                minimumRecords: wholeOf(input, 'records_min', 0, U32, 0),
                update: member.reaches('mask') ? updateOf(member.input, parameters) : nothing(parameters.d),
                noise: realOf(input, 'noise_sd', 0),
              },
            ),
          position,
        ),
      ),
    stages: () => {
      const who = (stage: Last): number[] =>
        roster.flatMap((member, position) => (member.reaches(stage) ? [position] : []))
      const [U1, U2, U3, U4, U5] = LAST.slice(1).map(who)
      return { U1, U2, U3, U4, U5 }
    },
    named: (action) => refusing(action),
    of: (position, action) => refusing(action, position),
  }
}

/** For sessions that are not bound to a header; their id says so. */
const UNBOUND = { federation: '', job: '', round: 0, model: '00'.repeat(32), plan: '00'.repeat(32) }

function nothing(d: number): { length: number; read(): void } {
  return { length: d, read: () => undefined }
}

/** Where parties have no identities, made-up ones in an order that keeps the listing. */
function withIdentities(listed: readonly VectorCase[], given: boolean): Member[] {
  const made = given
    ? []
    : listed
        .map((_, place) => crypto.sha256(ascii(`made-up identity ${place}`)))
        .map((seed) => ({ seed, identity: crypto.ed25519Public(seed) }))
        .sort((left, right) => compareBytes(left.identity, right.identity))
  return listed.map((input, place) => {
    const seed = given ? sizedBytesOf(input, 'identity', 32) : made[place]!.seed
    const last = lastOf(input)
    return {
      name: input['name'] === undefined ? String(place) : textOf(input, 'name'),
      input,
      seed,
      identity: given ? crypto.ed25519Public(seed) : made[place]!.identity,
      secrets: {
        s: keyPairOf(input, 's'),
        c: keyPairOf(input, 'c'),
        b: sizedBytesOf(input, 'b', 32),
        nonce: nonceOf(input),
      },
      last,
      reaches: (stage) => LAST.indexOf(last) >= LAST.indexOf(stage),
    }
  })
}

function lastOf(input: VectorCase): Last {
  const last = LAST.find((stage) => stage === (input['last'] ?? 'unmask'))
  if (last === undefined) throw new Refusal('malformed', `"last" is none of ${LAST.join(', ')}`)
  return last
}

/** A client erases its secrets. */
function copied({ s, c, b, nonce }: RoundSecrets): RoundSecrets {
  return {
    s: { ...s, secret: new Uint8Array(s.secret) },
    c: { ...c, secret: new Uint8Array(c.secret) },
    b: new Uint8Array(b),
    nonce,
  }
}

function sessionOf(session: VectorCase): Members['sessionId'] {
  if (session['header'] !== undefined) return sessionId
  if (session['sid'] === 'keys') {
    return (own, _header, roster) =>
      own.sha256(
        concat(ascii('fl-secagg/1 sid'), ...roster.flatMap(({ channelKey, maskKey }) => [channelKey, maskKey])),
      )
  }
  const sid = sizedBytesOf(session, 'sid', 32)
  return () => sid
}

function withMemory(own: Primitives): Primitives {
  const valid = new Set<string>()
  return {
    ...own,
    verify(publicKey, message, signature) {
      const key = Buffer.concat([publicKey, own.sha256(message), signature]).toString('base64')
      if (valid.has(key)) return true
      const isValid = own.verify(publicKey, message, signature)
      if (isValid) valid.add(key)
      return isValid
    },
  }
}
