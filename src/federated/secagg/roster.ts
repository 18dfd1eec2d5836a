/** The roster of a round: what a member checks before it uses anybody's keys. */
import { compareBytes, equalBytes } from './bytes.ts'
import {
  DuplicateIdentityError,
  DuplicateKeyError,
  NotMemberError,
  OwnKeysError,
  SignatureError,
  ThresholdError,
} from './errors.ts'
import { advertiseBytes } from './layout.ts'
import type { Advertisement } from './layout.ts'
import type { Primitives } from './primitives.ts'

export interface RosterRules {
  /** Of this member's own header: who signed another model, plan, threshold or round did not sign this. */
  readonly header: Uint8Array
  /** Identities that the federation admits. */
  readonly members: readonly Uint8Array[]
  readonly t: number
  /** What this member advertised; an aggregator has no keys of its own. */
  readonly own?: Advertisement
}

/** Fewer than three members hide nobody. */
export function leastMembers(t: number): number {
  return Math.max(t, 3)
}

/**
 * Advertisements in roster order (by identity), after all checks, in the order of the protocol.
 * @throws DuplicateIdentityError, NotMemberError, OwnKeysError, SignatureError, DuplicateKeyError, ThresholdError
 */
export function checkRoster(
  crypto: Primitives,
  entries: readonly Advertisement[],
  rules: RosterRules,
): readonly Advertisement[] {
  const roster = entries.toSorted((left, right) => compareBytes(left.identity, right.identity))
  for (const [party, { identity }] of roster.entries()) {
    const next = roster[party + 1]
    if (next !== undefined && equalBytes(identity, next.identity)) {
      throw new DuplicateIdentityError(`members ${party} and ${party + 1} have one identity`, { party })
    }
  }
  const members = new Set(rules.members.map(hex))
  for (const [party, { identity }] of roster.entries()) {
    if (!members.has(hex(identity))) throw new NotMemberError(`${hex(identity)} is no member`, { party })
  }
  if (rules.own !== undefined) checkOwn(roster, rules.own)
  for (const [party, entry] of roster.entries()) {
    if (!isSigned(crypto, rules.header, entry)) {
      throw new SignatureError(`the advertisement of member ${party} is not signed for this round`, { party })
    }
  }
  checkDistinct(roster)
  if (roster.length < leastMembers(rules.t)) {
    throw new ThresholdError(`${roster.length} members advertised, ${leastMembers(rules.t)} are needed`)
  }
  return roster
}

function checkOwn(roster: readonly Advertisement[], own: Advertisement): void {
  const party = roster.findIndex(({ identity }) => equalBytes(identity, own.identity))
  const found = roster[party]
  if (found === undefined) throw new OwnKeysError('the roster leaves this member out')
  const fields = ['channelKey', 'maskKey', 'commitment', 'nonce', 'signature'] as const
  if (found.records !== own.records || fields.some((field) => !equalBytes(found[field], own[field]))) {
    throw new OwnKeysError('the roster changes what this member advertised', { party })
  }
}

function isSigned(crypto: Primitives, header: Uint8Array, entry: Advertisement): boolean {
  try {
    return crypto.verify(entry.identity, advertiseBytes(crypto, header, entry), entry.signature)
  } catch {
    // fields of another length: nobody signs such an entry
    return false
  }
}

function checkDistinct(roster: readonly Advertisement[]): void {
  const owners = new Map<string, number>()
  const twice: number[] = []
  for (const [position, { channelKey, maskKey }] of roster.entries()) {
    for (const key of [hex(channelKey), hex(maskKey)]) {
      const first = owners.get(key)
      if (first === undefined) owners.set(key, position)
      else twice.push(first)
    }
  }
  if (twice.length > 0) {
    const party = Math.min(...twice)
    throw new DuplicateKeyError(`a key of member ${party} stands twice in the roster`, { party })
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
