/** From revealed shares to the sum: what an aggregator does, and whoever re-computes it from a transcript. */
import { compareBytes } from './bytes.ts'
import { ShareError, SurvivorsError, ThresholdError } from './errors.ts'
import type { Graph } from './graph.ts'
import { maskStream, pairKey, selfKey } from './keys.ts'
import { applyMasks, pieces, reduceWords } from './masking.ts'
import type { Mask } from './masking.ts'
import type { Reveal } from './messages.ts'
import type { Primitives } from './primitives.ts'
import { restore } from './restore.ts'

/** What is public about a member before anything is revealed. */
export interface CommittedMember {
  readonly maskKey: Uint8Array
  readonly commitment: Uint8Array
}

/** All that unmasking needs; sets hold positions. */
export interface UnmaskInput {
  readonly t: number
  readonly sid: Uint8Array
  readonly graph: Graph
  readonly roster: readonly CommittedMember[]
  /** U2: who shared keys. */
  readonly sharers: ReadonlySet<number>
  /** U3: whose vectors are in the sum. */
  readonly survivors: ReadonlySet<number>
  /** By holder (U5). */
  readonly reveals: ReadonlyMap<number, Reveal>
}

export interface RestoredSecrets {
  /** Seeds of self masks, by survivor. */
  readonly b: ReadonlyMap<number, Uint8Array>
  /** Mask keys of those who shared keys and sent no vector. */
  readonly s: ReadonlyMap<number, Uint8Array>
  /** Holders that gave a wrong share, rising. */
  readonly blamed: readonly number[]
}

/**
 * One kind of share a peer, by whether it survived; anything else is refused, from whomever it comes.
 * @throws SurvivorsError
 */
export function checkReveal(
  holder: number,
  reveal: Reveal,
  input: Omit<UnmaskInput, 'reveals' | 'roster' | 't' | 'sid'>,
): void {
  if (!input.survivors.has(holder)) throw new SurvivorsError(`${holder} is no survivor and reveals`, { party: holder })
  for (const [owner, { kind }] of reveal) {
    const expected = input.survivors.has(owner) ? 'b' : 's'
    if (!input.sharers.has(owner) || kind !== expected || !input.graph.holders(owner).includes(holder)) {
      throw new SurvivorsError(`member ${holder} reveals "${kind}" of ${owner}, which it must not`, { party: holder })
    }
  }
}

/** @throws ThresholdError for fewer than t reveals; ShareError for a secret that no t shares restore */
export function restoreSecrets(crypto: Primitives, input: UnmaskInput): RestoredSecrets {
  const { t, roster, sharers, survivors, reveals } = input
  if (reveals.size < t) throw new ThresholdError(`${reveals.size} members revealed shares, ${t} are needed`)
  const [b, s] = [new Map<number, Uint8Array>(), new Map<number, Uint8Array>()]
  const blamed = new Set<number>()
  for (const owner of [...sharers].sort((left, right) => left - right)) {
    const { maskKey, commitment } = roster[owner]!
    const lives = survivors.has(owner)
    const isRight = (secret: Uint8Array): boolean =>
      lives
        ? compareBytes(crypto.sha256(secret), commitment) === 0
        : compareBytes(crypto.x25519Public(secret), maskKey) === 0
    const holders = input.graph.holders(owner)
    const shares = holders.flatMap((holder, rank) => {
      const revealed = reveals.get(holder)?.get(owner)
      return revealed === undefined ? [] : [{ x: rank + 1, y: revealed.share }]
    })
    const restored = restore(shares, t, isRight)
    if (restored === undefined) {
      throw new ShareError(`no ${t} of ${shares.length} shares restore the secret of member ${owner}`, { party: owner })
    }
    ;(lives ? b : s).set(owner, restored.secret)
    for (const x of restored.wrong) blamed.add(holders[x - 1]!)
  }
  return { b, s, blamed: [...blamed].sort((left, right) => left - right) }
}

/** Takes all masks off the sum of masked vectors, in place; `sum` ends up mod 2^bits. */
export function unmaskSum(
  crypto: Primitives,
  input: UnmaskInput,
  secrets: RestoredSecrets,
  sum: Uint32Array,
  bits: number,
): void {
  const masks = masksOf(crypto, input, secrets)
  for (const { from, to } of pieces(sum.length)) {
    const words = sum.subarray(from, to)
    applyMasks(masks, words)
    reduceWords(words, bits)
  }
}

function masksOf(crypto: Primitives, input: UnmaskInput, { b, s }: RestoredSecrets): Mask[] {
  const { sid, roster, graph, survivors } = input
  const own = [...b.values()].map((seed) => ({
    stream: maskStream(crypto, selfKey(crypto, sid, seed)),
    add: false,
  }))
  const pairs = [...s].flatMap(([gone, secret]) => {
    const keys = { secret, publicKey: roster[gone]!.maskKey }
    return graph
      .holders(gone)
      .filter((peer) => survivors.has(peer))
      .map((peer) => ({
        stream: maskStream(crypto, pairKey(crypto, sid, keys, { position: peer, publicKey: roster[peer]!.maskKey })),
        // The survivor added it where it stands before the one that is gone.
        add: peer > gone,
      }))
  })
  return [...own, ...pairs]
}
