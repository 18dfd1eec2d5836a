/** Anybody re-computes a round from its transcript: same vectors and shares, same sum to the bit. */
import { DigestMismatchError, EmptyInputError, inStage, ParameterRangeError } from '../errors.ts'
import { addVector, sumDigest } from './aggregator.ts'
import type { SecureSum } from './aggregator.ts'
import { equalBytes } from './bytes.ts'
import { SurvivorsError, ThresholdError } from './errors.ts'
import { COMPLETE, createGraph } from './graph.ts'
import type { GraphChoice } from './graph.ts'
import type { Reveal } from './messages.ts'
import { checkBits, checkPacked } from './packing.ts'
import type { Primitives } from './primitives.ts'
import { leastMembers } from './roster.ts'
import { checkReveal, restoreSecrets, unmaskSum } from './unmask.ts'
import type { CommittedMember } from './unmask.ts'

export interface Transcript {
  readonly t: number
  readonly bits: number
  readonly d: number
  readonly sid: Uint8Array
  readonly roster: readonly CommittedMember[]
  readonly sharers: ReadonlySet<number>
  readonly survivors: ReadonlySet<number>
  /** Packed, by survivor. */
  readonly masked: ReadonlyMap<number, Uint8Array>
  readonly digests: ReadonlyMap<number, Uint8Array>
  readonly reveals: ReadonlyMap<number, Reveal>
  readonly graph?: GraphChoice
}

/**
 * @throws SurvivorsError, ThresholdError, VectorLengthError, PaddingError, DigestMismatchError, ShareError: the result
 * does not follow from the transcript
 */
export function auditRound(crypto: Primitives, transcript: Transcript): SecureSum {
  inStage('shares', () => checkSets(transcript))
  const sum = inStage('vectors', () => sumOfVectors(crypto, transcript))
  return inStage('reveals', () => {
    const { t, bits, sid, roster, sharers, survivors, reveals } = transcript
    const graph = createGraph(crypto, transcript.graph ?? COMPLETE, roster.length, sid)
    const input = { t, sid, graph, roster, sharers, survivors, reveals }
    for (const [holder, reveal] of reveals) checkReveal(holder, reveal, input)
    const secrets = restoreSecrets(crypto, input)
    unmaskSum(crypto, input, secrets, sum, bits)
    return { ...secrets, words: sum, digest: sumDigest(crypto, sum, bits) }
  })
}

function checkSets({ t, bits, d, roster, sharers, survivors }: Transcript): void {
  checkBits(bits)
  if (!Number.isInteger(d) || d < 0) throw new ParameterRangeError(`${d} coordinates are no number of coordinates`)
  if (d === 0) throw new EmptyInputError('the model has no coordinate')
  for (const party of [...sharers, ...survivors]) {
    if (roster[party] === undefined) throw new SurvivorsError(`${party} is not in the roster`, { party })
  }
  for (const party of survivors) {
    if (!sharers.has(party)) throw new SurvivorsError(`${party} survives and shared no keys`, { party })
  }
  if (Math.min(sharers.size, survivors.size) < leastMembers(t)) {
    throw new ThresholdError(
      `${survivors.size} of ${sharers.size} members are in the sum, ${leastMembers(t)} are needed`,
    )
  }
}

/** Still masked. */
function sumOfVectors(crypto: Primitives, { bits, d, survivors, masked, digests }: Transcript): Uint32Array {
  const sum = new Uint32Array(d)
  for (const party of [...survivors].sort((left, right) => left - right)) {
    const packed = masked.get(party)
    const digest = digests.get(party)
    if (packed === undefined || digest === undefined) {
      throw new SurvivorsError(`the vector of survivor ${party} is missing`, { party })
    }
    if (!equalBytes(crypto.sha256(packed), digest)) {
      throw new DigestMismatchError(`the vector of member ${party} does not have its digest`, { party })
    }
    checkPacked(packed, bits, d, { party })
    addVector(packed, bits, sum)
  }
  return sum
}
