/**
 * Which of two histories stands, where both are signed by who might. Two admins who act at the same moment make one
 * without any harm; so does whoever has stolen a key. Every member must choose the same one whichever it saw first, and
 * nobody may win by having more time, so length counts for nothing:
 *
 *   1. the one that the root key has spoken in (a recovery);
 *   2. the one with a checkpoint: what is under it is settled. Where both have one, no rule decides;
 *   3. the one that takes the right to sign from somebody who signed the other;
 *   4. the one whose first entry has the smaller hash.
 */
import type { Entry } from './types.ts'

/** A longer side branch is no accident, and its check no small work. */
export const MAX_FORK_ENTRIES = 1_024

export type Decision = 'ours' | 'theirs' | 'undecided'

/** Each begins with the first entry that the other does not have. */
export function decideFork(root: string, ours: readonly Entry[], theirs: readonly Entry[]): Decision {
  const byRoot = prefer(ours, theirs, (branch) => branch.some((entry) => isBy(entry, root)))
  if (byRoot !== undefined) return byRoot
  const settled = (branch: readonly Entry[]): boolean => branch.some(({ body }) => body.kind === 'checkpoint')
  if (settled(ours) && settled(theirs)) return 'undecided'
  const byCheckpoint = prefer(ours, theirs, settled)
  if (byCheckpoint !== undefined) return byCheckpoint
  const removal = prefer(ours, theirs, (branch, other) => disarms(branch, other))
  return removal ?? (ours[0]!.hash < theirs[0]!.hash ? 'ours' : 'theirs')
}

function prefer(
  ours: readonly Entry[],
  theirs: readonly Entry[],
  has: (branch: readonly Entry[], other: readonly Entry[]) => boolean,
): Decision | undefined {
  const [we, they] = [has(ours, theirs), has(theirs, ours)]
  if (we === they) return undefined
  return we ? 'ours' : 'theirs'
}

function isBy({ signatures }: Entry, signer: string): boolean {
  return signatures.some(({ by }) => by === signer)
}

function signersOf(branch: readonly Entry[]): Set<string> {
  return new Set(branch.flatMap(({ signatures }) => signatures.map(({ by }) => by)))
}

/** Whether it takes from somebody who signed the other the right to do so. */
function disarms(branch: readonly Entry[], other: readonly Entry[]): boolean {
  const signers = signersOf(other)
  return branch.some(({ body }) => {
    if (body.kind === 'revoke') return signers.has(body.peer)
    return body.kind === 'set-admins' && [...signers].some((signer) => !body.admins.includes(signer))
  })
}

/** Who signed two entries of one height: a key that is in two places, or in the wrong hands. */
export function equivocatorsOf(ours: Entry, theirs: Entry): string[] {
  const signers = signersOf([theirs])
  return ours.signatures.map(({ by }) => by).filter((by) => signers.has(by))
}
