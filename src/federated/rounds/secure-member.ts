/** A member's part in one secure sum, over a pipe to whoever aggregates. */
import type { RandomSource } from '../../util/index.ts'
import { FederatedError } from '../errors.ts'
import { SecureClient } from '../secagg/client.ts'
import type { ClientInit, RoundSecrets } from '../secagg/client.ts'
import { survivorsBytes } from '../secagg/layout.ts'
import type { MaskedTrailer } from '../secagg/messages.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { SignedRounds } from '../secagg/signed-rounds.ts'
import type { Pipe } from './pipe.ts'
import type { Delegate } from './delegate.ts'
import { bodyOf, expectOf, revealBody } from './wire.ts'
import type { Body } from './wire.ts'

export interface SecureMemberNeeds {
  readonly random: RandomSource
  readonly signedRounds: SignedRounds
  /** Told the roster, and asked again before the vector leaves; throws where somebody in it is no member any more. */
  readonly mayJoin: (members: readonly string[]) => void
  /** PeerIds, where they are members. */
  readonly peersOf: (identities: readonly string[]) => readonly string[]
  /** Told before the set of survivors is signed; throws when this member may not sign it. By identity, hex. */
  readonly mayRelease: (members: readonly string[]) => void
  /** Durable when it resolves; only then the signature over that set leaves. */
  readonly remember: () => Promise<void>
  /** Durable when it resolves; only then the vector leaves. */
  readonly leaves?: (() => Promise<void>) | undefined
  /** Durable when it returns; only then anything that depends on data leaves. */
  readonly charge: () => void
  /** Before each message of its own: a test interface holds it here. */
  readonly before?: ((stage: string) => Promise<void>) | undefined
  /** After each step. */
  readonly stage: (name: string) => void
}

export type SecureMemberInit = Omit<ClientInit, 'secrets'>

/** The masked vector leaves in pieces of a megabyte at most, however large it is. */
const PIECE_BYTES = 1 << 20

/** What came of it, as the aggregator says. */
export interface ToldSum {
  readonly result: Body<'result'>
  /** Packed. */
  readonly payload: Uint8Array
  readonly sid: Uint8Array
  /** SHA-256 of the set of survivors that it signed, with the digests of their vectors. */
  readonly signed: Uint8Array
}

/**
 * What the aggregator told. @param upper where this member is its cluster's delegate
 * @param wait milliseconds that the aggregator may be silent
 * @throws the refusals of the protocol, RefusedByPeer, and why the pipe ended
 */
export async function sumWithOthers(
  needs: SecureMemberNeeds,
  pipe: Pipe,
  init: SecureMemberInit,
  wait: number,
  upper?: Delegate,
): Promise<ToldSum> {
  const { random, stage } = needs
  let survivors: readonly string[] = []
  /** The roster as this member sorts it: by identity. */
  let sorted: readonly string[] = []
  const signedRounds: SignedRounds = {
    claim(round, set) {
      needs.mayRelease(survivors)
      return needs.signedRounds.claim(round, set)
    },
  }
  const coefficient = (): Uint8Array => random.bytes(32)
  const client = new SecureClient(
    { crypto: nodePrimitives, coefficient, signedRounds },
    {
      ...init,
      ...(upper === undefined ? {} : { update: upper.masked(init.update) }),
      secrets: freshSecrets(random),
    },
  )
  try {
    await needs.before?.('advertise')
    await pipe.send('advertise', {
      entry: client.advertisement,
      ...(upper === undefined ? {} : { upper: upper.entry }),
    })
    stage('advertised')
    await upper?.share(pipe, wait)
    const roster = bodyOf('roster', await expectOf(pipe, ['roster'], wait)).entries
    const identities = roster.map(({ identity }) => Buffer.from(identity).toString('hex'))
    sorted = identities.toSorted()
    needs.mayJoin(identities)
    const shares = client.roster(roster)
    await needs.before?.('shares')
    await pipe.send('shares', shares)
    stage('shared')
    const { sealed } = bodyOf('ciphertexts', await expectOf(pipe, ['ciphertexts'], wait))
    const vector = client.ciphertexts(sealed)
    await needs.before?.('masked')
    needs.mayJoin(identities)
    await needs.leaves?.()
    needs.charge()
    const trailer = await sendVector(pipe, vector)
    await pipe.send('masked', upper === undefined ? trailer : { ...trailer, upper: upper.trailer })
    stage('masked')
    const { list } = bodyOf('survivors', await expectOf(pipe, ['survivors'], wait))
    survivors = list.map(({ position }) => sorted[position] ?? '').sort()
    const consistency = client.survivors(list)
    await needs.remember()
    await needs.before?.('consistency')
    await pipe.send('consistency', consistency)
    stage('signed')
    const ballots = bodyOf('ballots', await expectOf(pipe, ['ballots'], wait)).list
    const reveal = client.consistency(ballots)
    await needs.before?.('reveal')
    await pipe.send('reveal', revealBody(reveal))
    stage('revealed')
    await upper?.release(pipe, wait)
    const message = await expectOf(pipe, ['result'], wait)
    const digests = new Map(list.map(({ position, digest }) => [position, digest]))
    const signed = nodePrimitives.sha256(survivorsBytes(shares.sid, digests))
    return { result: bodyOf('result', message), payload: message.payload, sid: shares.sid, signed }
  } catch (error) {
    const identity = error instanceof FederatedError && error.party !== undefined ? sorted[error.party] : undefined
    if (identity !== undefined) (error as FederatedError).tell({ member: needs.peersOf([identity])[0] })
    throw error
  } finally {
    client.abort()
    upper?.abort()
  }
}

export function freshSecrets(random: RandomSource): RoundSecrets {
  const pair = (): { secret: Uint8Array; publicKey: Uint8Array } => {
    const secret = random.bytes(32)
    return { secret, publicKey: new Uint8Array(nodePrimitives.x25519Public(secret)) }
  }
  return { s: pair(), c: pair(), b: random.bytes(32), nonce: random.bytes(16) }
}

async function sendVector(pipe: Pipe, vector: Generator<Uint8Array, MaskedTrailer>): Promise<MaskedTrailer> {
  let waiting: Uint8Array[] = []
  let size = 0
  const flush = async (): Promise<void> => {
    if (size > 0) await pipe.send('piece', {}, Buffer.concat(waiting))
    waiting = []
    size = 0
  }
  for (;;) {
    const next = vector.next()
    if (next.done === true) {
      await flush()
      return next.value
    }
    // The generator writes over nothing that it gave, but holds on to no piece either.
    waiting.push(new Uint8Array(next.value))
    size += next.value.length
    if (size >= PIECE_BYTES) await flush()
  }
}
