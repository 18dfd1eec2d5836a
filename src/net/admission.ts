/** Who may join: the membership, what a person has decided, and the number of those who wait for that. */
import { MAX_PENDING_PEERS } from './constants.ts'
import type { Defence } from './defence.ts'
import {
  NotAdmittedError,
  NotMemberError,
  PeerBannedError,
  PolicyKeepsOutError,
  TooManyNewcomersError,
} from './discovery-errors.ts'
import type { Verdict } from './hello.ts'
import type { Membership } from './types.ts'

export type LanPolicy = 'open' | 'confirm' | 'off'

export interface Admission {
  /** What we answer to a peer that has proven the network key. */
  judge(peer: string): Verdict
  /** Resolves when a person has decided. Never, if nobody does. */
  decision(peer: string): Promise<Verdict>
  decide(peer: string, admit: boolean): void
  isDenied(peer: string): boolean
  /** The rule of the policy that keeps a peer out: for this side alone, a verdict does not name it. */
  keptOutBy(peer: string): string | undefined
  /** Whoever is dialled by name has been chosen by a person. */
  approve(peer: string): void
  /** A waiting peer has gone. */
  gone(peer: string): void
}

interface AdmissionInit {
  readonly lan: LanPolicy
  readonly membership: Membership
  /** Who is in stands in a log, and may stand there a moment later. */
  readonly isCluster: boolean
  readonly approved: readonly string[]
  readonly defence?: Defence
}

const WELCOME: Verdict = { verdict: 'welcome' }
const BANNED: Verdict = { verdict: 'refused', code: PeerBannedError.info.code }
const DENIED: Verdict = { verdict: 'refused', code: NotAdmittedError.info.code }
const NO_MEMBER: Verdict = { verdict: 'refused', code: NotMemberError.info.code }

const KEPT_OUT: Verdict = { verdict: 'refused', code: PolicyKeepsOutError.info.code }

export function createAdmission(init: AdmissionInit): Admission {
  const approved = new Set(init.approved)
  const denied = new Set<string>()
  const pending = new Map<string, PromiseWithResolvers<Verdict>>()
  const keptOutBy = (peer: string): string | undefined => init.membership.keptOutBy?.(peer)
  return {
    judge(peer) {
      if (init.defence?.banned(`peer:${peer}`) !== undefined) return BANNED
      if (denied.has(peer)) return DENIED
      if (!init.membership.admits(peer, 'connect')) {
        if (keptOutBy(peer) !== undefined) return KEPT_OUT
        return init.isCluster ? NO_MEMBER : DENIED
      }
      if (init.lan !== 'confirm' || approved.has(peer)) return WELCOME
      if (pending.size >= MAX_PENDING_PEERS && !pending.has(peer))
        return { verdict: 'refused', code: TooManyNewcomersError.info.code }
      if (!pending.has(peer)) pending.set(peer, Promise.withResolvers<Verdict>())
      return { verdict: 'pending' }
    },
    decision: (peer) => pending.get(peer)?.promise ?? Promise.resolve(approved.has(peer) ? WELCOME : DENIED),
    decide(peer, admit) {
      if (admit) approved.add(peer)
      else approved.delete(peer)
      if (admit) denied.delete(peer)
      else denied.add(peer)
      pending.get(peer)?.resolve(admit ? WELCOME : DENIED)
      pending.delete(peer)
    },
    isDenied: (peer) => denied.has(peer) || init.membership.isRemoved(peer),
    keptOutBy,
    approve(peer) {
      if (!denied.has(peer)) approved.add(peer)
    },
    gone: (peer) => void pending.delete(peer),
  }
}
