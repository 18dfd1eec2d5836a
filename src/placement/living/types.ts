/** What the decision reads and what it says. Bytes, milliseconds and seconds as named; blocks are [from, to) of the model. */
import type { PlacementKind, PlanInput, Stage } from '../types.ts'

export type Blocks = readonly [from: number, to: number]

/** What a peer has of the model. */
export interface HeldBlocks {
  /** On its disk: rising, not touching. */
  readonly tensors: readonly Blocks[]
  readonly ready: readonly Blocks[]
  /** Could not be loaded. */
  readonly failed: readonly Blocks[]
}

/** What a placement that weft has chosen says of its own change, beside its stages. */
export interface LivingNote {
  /** The peer for whose requests it is planned. */
  readonly origin: string
  readonly objective: PlanInput['objective']
  /** Being prepared: its stages are loaded as replicas until all are ready. */
  readonly next?: readonly Stage[] | undefined
  /** Stages of the placement that was left for this one. */
  readonly before?: readonly Stage[] | undefined
  /** Stages that could not be prepared. */
  readonly refused?: readonly Stage[] | undefined
  /** Peers that its origin does not want in it. */
  readonly without?: readonly string[] | undefined
  /** What a person has placed, where others stand in for peers that were gone. */
  readonly pinned?: readonly Stage[] | undefined
}

export interface LivingState {
  /** With `origin` the peer for whose requests it is planned. */
  readonly input: PlanInput
  readonly kind: PlacementKind
  readonly stages: readonly Stage[]
  readonly replicas: readonly Stage[]
  readonly note: LivingNote
  /** By peer; who has nothing may be absent. */
  readonly held: ReadonlyMap<string, HeldBlocks>
  /** Tokens of this model a minute, all peers together. */
  readonly use: number
}

/**
 * Why nothing moves. `pinned`: placed by hand. `objective`: it was not placed for speed. `incomplete`: a peer of it is away, and
 * the next request repairs it. `best`: nothing is better. `gain`, `cost`, `quiet`, `undo`: the hysteresis. `room`: old and
 * new do not fit beside each other. `refused`: it was tried. `loading`: a move is being prepared. `no-fit`: see the plan.
 */
export type HeldBy =
  | 'pinned'
  | 'objective'
  | 'incomplete'
  | 'no-fit'
  | 'best'
  | 'gain'
  | 'room'
  | 'cost'
  | 'quiet'
  | 'undo'
  | 'refused'
  | 'loading'

/** What a move would bring and what it would take. */
export interface Move {
  readonly target: readonly Stage[]
  /** Of the objective: milliseconds now and then. */
  readonly nowMs: number
  readonly thenMs: number
  /** Share of `nowMs` that is saved. */
  readonly gain: number
  /** That have to be fetched, all peers together. */
  readonly bytes: number
  /** Until the last of them is ready. */
  readonly seconds: number
  /** Of use, as it was seen, until that has come back; null: never. */
  readonly paybackSeconds: number | null
  /** All of it is loaded where it is wanted. */
  readonly ready: boolean
}

/** What all the figures say, before the time since the last change is looked at. */
export interface Weighed {
  readonly move: Move | null
  /** A reason that no time changes. */
  readonly heldBy: Exclude<HeldBy, 'quiet' | 'undo' | 'refused' | 'loading'> | null
}

/**
 * `prepare`: the target is loaded beside what stands. `switch`: it stands from now on. `abandon`: what was being prepared is
 * given up.
 */
export type Decision =
  | { readonly action: 'keep'; readonly heldBy: HeldBy; readonly move: Move | null; readonly waitMs: number }
  | { readonly action: 'prepare' | 'switch' | 'abandon'; readonly heldBy: null; readonly move: Move }
