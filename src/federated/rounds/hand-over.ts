/**
 * A sum with its masks on, from its aggregator to one of its members while the survivors sign, and from there to whoever goes on when
 * that aggregator is gone. It is as much as any aggregator sees; who opens it needs the same signatures and shares.
 */
import type { Clock } from '../../util/index.ts'
import { VectorLengthError } from '../errors.ts'
import type { MaskedSum, MaskedTrailer } from '../secagg/messages.ts'
import { packedBytes } from '../secagg/packing.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import type { SharedSum } from './collector-types.ts'
import { PipeSilentError } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import { bodyOf, expectOf } from './wire.ts'
import type { Body } from './wire.ts'

/** A vector leaves in pieces of a megabyte at most, however large it is. */
export const PIECE_BYTES = 1 << 20

/** What the aggregator told: the survivors, and where this member is to go on, the sum. */
export interface ToldSurvivors {
  readonly list: Body<'survivors'>['list']
  /** SHA-256 of the sum, masks and all: whoever passes it on can change nothing in it. */
  readonly sum?: Uint8Array | undefined
  readonly masked?: GivenSum | undefined
}

/** Of the sum of clusters that it is a part of. */
export interface HeldUpper extends SharedSum {
  /** What the delegate of its cluster vouches for. */
  readonly trailer: MaskedTrailer
}

/** What is given of a sum. */
export interface GivenSum extends Pick<MaskedSum, 'packed' | 'sharers'> {
  readonly upper?: HeldUpper | undefined
}

/** A sum that one holds for others. */
export interface HeldSum extends MaskedSum {
  readonly upper?: HeldUpper | undefined
  /** Number under which it was begun. */
  readonly round: number
}

/** Before the survivors are told. @param wait milliseconds for each piece. @throws PipeSilentError, why the pipe ended */
export async function giveSum(
  clock: Clock,
  pipe: Pipe,
  { packed, sharers, upper }: GivenSum,
  wait: number,
): Promise<void> {
  const each = (sent: Promise<void>): Promise<void> => within(clock, wait, sent)
  await sendPieces(pipe, packed, each)
  await each(pipe.send('handover', { sharers, ...(upper === undefined ? {} : { upper }) }))
}

/** @throws JobRefusedError, VectorLengthError, RefusedByPeer, why the pipe ended */
export async function readSurvivors(
  pipe: Pipe,
  header: Pick<RoundHeader, 'd' | 'bits'>,
  wait: number,
): Promise<ToldSurvivors> {
  const pieces = new Pieces(header)
  let masked: ToldSurvivors['masked']
  for (;;) {
    const message = await expectOf(
      pipe,
      masked === undefined ? ['survivors', 'piece', 'handover'] : ['survivors'],
      wait,
    )
    if (message.kind === 'piece') pieces.add(message.payload)
    else if (message.kind === 'handover') masked = { packed: pieces.whole(), ...bodyOf('handover', message) }
    else return { ...bodyOf('survivors', message), masked }
  }
}

export async function sendHeld(pipe: Pipe, { packed, upper, ...body }: HeldSum): Promise<void> {
  await sendPieces(pipe, packed)
  await pipe.send('held', { ...body, ...(upper === undefined ? {} : { upper }) })
}

/** @throws JobRefusedError, VectorLengthError, RefusedByPeer, why the pipe ended */
export async function readHeld(pipe: Pipe, header: Pick<RoundHeader, 'd' | 'bits'>, wait: number): Promise<HeldSum> {
  const pieces = new Pieces(header)
  for (;;) {
    const message = await expectOf(pipe, ['piece', 'held'], wait)
    if (message.kind === 'held') return { packed: pieces.whole(), ...bodyOf('held', message) }
    pieces.add(message.payload)
  }
}

async function sendPieces(
  pipe: Pipe,
  packed: Uint8Array,
  each: (sent: Promise<void>) => Promise<void> = (sent) => sent,
): Promise<void> {
  for (let from = 0; from < packed.length; from += PIECE_BYTES)
    await each(pipe.send('piece', {}, packed.subarray(from, from + PIECE_BYTES)))
}

/** A packed vector as it comes in; nothing is kept of one that never begins. */
class Pieces {
  readonly #length: number
  #packed = new Uint8Array()
  #at = 0

  constructor({ d, bits }: Pick<RoundHeader, 'd' | 'bits'>) {
    this.#length = packedBytes(d, bits)
  }

  add(piece: Uint8Array): void {
    if (this.#at + piece.length > this.#length) throw new VectorLengthError('a sum is longer than the round says')
    if (this.#packed.length === 0) this.#packed = new Uint8Array(this.#length)
    this.#packed.set(piece, this.#at)
    this.#at += piece.length
  }

  whole(): Uint8Array {
    if (this.#at !== this.#length) throw new VectorLengthError('a sum is cut short')
    return this.#packed
  }
}

/** @throws PipeSilentError */
async function within(clock: Clock, ms: number, sent: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const cancel = clock.after(ms, () => reject(new PipeSilentError(`nothing was taken for ${ms} ms`)))
  try {
    await Promise.race([sent, promise])
  } finally {
    cancel()
  }
}
