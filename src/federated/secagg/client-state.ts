/** Where a member stands in a round: one form a stage, each with what that stage may know and no more. */
import type { Graph } from './graph.ts'
import type { Advertisement } from './layout.ts'
import type { Mask } from './masking.ts'

/** Messages that a member answers, in their order. */
export const EVENTS = ['roster', 'ciphertexts', 'survivors', 'consistency'] as const
export type ClientEvent = (typeof EVENTS)[number]

export interface Session {
  readonly roster: readonly Advertisement[]
  readonly sid: Uint8Array
  /** Own position. */
  readonly position: number
  readonly graph: Graph
}

/** What was opened for one owner. It leaves a member as one of the two, and the other is erased before. */
export interface HeldShares {
  readonly s: Uint8Array
  readonly b: Uint8Array
}

interface Shared {
  readonly session: Session
  /** Keys that open what peers send to this member. */
  readonly channelsIn: ReadonlyMap<number, Uint8Array>
  readonly pairKeys: ReadonlyMap<number, Uint8Array>
  readonly own: HeldShares
}

interface Masking {
  readonly session: Session
  readonly masks: readonly Mask[]
  /** By owner; the owners are U2. */
  readonly held: ReadonlyMap<number, HeldShares>
}

export type ClientState =
  | { readonly waitsFor: 'roster' }
  | ({ readonly waitsFor: 'ciphertexts' } & Shared)
  /** The masked vector is being read out. */
  | ({ readonly waitsFor: 'upload' } & Masking)
  | ({ readonly waitsFor: 'survivors'; readonly digest: Uint8Array } & Omit<Masking, 'masks'>)
  | {
      readonly waitsFor: 'consistency'
      readonly session: Session
      /** U3 with digests, as this member signed it. */
      readonly survivors: ReadonlyMap<number, Uint8Array>
      readonly reveal: ReadonlyMap<number, { readonly kind: 'b' | 's'; readonly share: Uint8Array }>
    }
  | { readonly waitsFor: 'nothing'; readonly aborted: boolean }

/** Which event a state takes; past the last one nothing is. */
export function placeOf(state: ClientState): number {
  if (state.waitsFor === 'nothing') return EVENTS.length
  // Until the vector is out, survivors come too early.
  return state.waitsFor === 'upload' ? 1.5 : EVENTS.indexOf(state.waitsFor)
}
