/**
 * Which of two histories stands, where both are signed by who might. Two admins who act at the same moment make one
 * without any harm; so does whoever has stolen a key. Every member must choose the same one whichever it saw first, and
 * nobody may win by having more time, so length and checkpoints count for nothing:
 *
 *   1. the one that the root key has spoken in more often (a recovery);
 *   2. the one that takes the right to sign from an admin, where the other takes it from none. Where both do, and one of
 *      them takes it from somebody who signed the other, no rule decides: any would let a thief of a key, who writes into
 *      the past, choose. Each member stays with what it had until the root key speaks;
 *   3. the one whose first entry has the smaller hash.
 *
 * What is compared is a property of one history alone, and only grows with it: so among any number of histories there is
 * no circle, and in whatever order they come the same one stands in the end.
 */
import { changeAdmins } from './threshold.ts'
import type { Entry } from './types.ts'

export type Decision = 'ours' | 'theirs' | 'undecided'

interface Traits {
  readonly recoveries: number
  /** Who had the right to sign and was left without. */
  readonly disarmed: ReadonlySet<string>
  readonly signers: ReadonlySet<string>
}

export interface ForkPoint {
  readonly root: string
  /** The admins before the two part. */
  readonly admins: ReadonlySet<string>
}

/** Each begins with the first entry that the other does not have. */
export function decideFork(point: ForkPoint, ours: readonly Entry[], theirs: readonly Entry[]): Decision {
  const [we, they] = [traitsOf(point, ours), traitsOf(point, theirs)]
  if (we.recoveries !== they.recoveries) return we.recoveries > they.recoveries ? 'ours' : 'theirs'
  const [weDisarm, theyDisarm] = [we.disarmed.size > 0, they.disarmed.size > 0]
  if (weDisarm !== theyDisarm) return weDisarm ? 'ours' : 'theirs'
  if (!we.disarmed.isDisjointFrom(they.signers) || !they.disarmed.isDisjointFrom(we.signers)) return 'undecided'
  return ours[0]!.hash < theirs[0]!.hash ? 'ours' : 'theirs'
}

function traitsOf({ root, admins }: ForkPoint, branch: readonly Entry[]): Traits {
  const armed = new Set(admins)
  const disarmed = new Set<string>()
  for (const { body } of branch) {
    const before = new Set(armed)
    changeAdmins(armed, body)
    for (const peer of before) if (!armed.has(peer)) disarmed.add(peer)
  }
  const signers = signersOf(branch)
  const recoveries = branch.filter(({ signatures }) => signatures.some(({ by }) => by === root)).length
  return { recoveries, disarmed, signers }
}

function signersOf(branch: readonly Entry[]): Set<string> {
  return new Set(branch.flatMap(({ signatures }) => signatures.map(({ by }) => by)))
}

/** Who signed two entries of one height: a key that is in two places, or in the wrong hands. */
export function equivocatorsOf(ours: Entry, theirs: Entry): string[] {
  const signers = signersOf([theirs])
  return ours.signatures.map(({ by }) => by).filter((by) => signers.has(by))
}
