/**
 * Whether a placement moves: a pure function of what all peers tell, so that every peer comes to the same decision. The time
 * since the last change comes in as a number of milliseconds; there is no clock in it.
 */
import { candidate, predictStages, valueOf } from '../plan.ts'
import { checkPlanInput } from '../input.ts'
import { ORIGIN } from '../types.ts'
import type { Stage } from '../types.ts'
import {
  LEAST_GAIN,
  LEAST_GAIN_MS,
  LEAST_USE,
  PAYBACK_MS,
  PREPARE_MS,
  QUIET_MS,
  UNDO_FACTOR,
  UNDO_MS,
  URGENT_GAIN,
  URGENT_QUIET_MS,
} from './limits.ts'
import { fitsBeside, heldBy, isReadyAt, movingCost, placed } from './moving.ts'
import type { Decision, HeldBy, LivingState, Move, Weighed } from './types.ts'

const MINUTE = 60_000

/** The part that plans, and takes its time: the same until a figure changes. @throws PlanInputError */
export function weigh(state: LivingState): Weighed {
  const { input, kind, note, stages } = state
  checkPlanInput(input)
  if (kind === 'hand') return weighPinned(state)
  if (input.objective === 'memory' || input.objective === 'spread') return held('objective')
  const there = new Set([ORIGIN, ...input.peers.map(({ id }) => id)])
  if (!stages.every(({ peer }) => there.has(peer))) return held('incomplete')
  if (note.next !== undefined) {
    const isThere = note.next.every(({ peer }) => there.has(peer))
    return { move: isThere ? moveTo(state, note.next) : null, heldBy: null }
  }
  const found = candidate(input)
  if (found === undefined) return held('no-fit')
  if (isSame(found.stages, stages)) return held('best')
  const move = moveTo(state, found.stages)
  if (move.gain <= 0) return held('best')
  return { move, heldBy: reasonAgainst(state, move) }
}

/** Nothing but what a person has placed: it is gone back to when all of its peers are there again. */
function weighPinned(state: LivingState): Weighed {
  const { input, note, replicas, stages } = state
  const { pinned } = note
  const there = new Set([ORIGIN, ...input.peers.map(({ id }) => id)])
  const isBack = pinned !== undefined && !isSame(pinned, stages) && pinned.every(({ peer }) => there.has(peer))
  if (!isBack) return held('pinned')
  if (!stages.every(({ peer }) => there.has(peer))) return held('incomplete')
  const move = moveTo(state, pinned)
  const fits = note.next !== undefined || move.ready || fitsBeside(input, [...stages, ...replicas], pinned)
  return { move, heldBy: fits ? null : 'room' }
}

function held(reason: NonNullable<Weighed['heldBy']>): Weighed {
  return { move: null, heldBy: reason }
}

function reasonAgainst({ input, replicas, stages }: LivingState, move: Move): Weighed['heldBy'] {
  if (move.gain < LEAST_GAIN || move.nowMs - move.thenMs < LEAST_GAIN_MS / input.concurrency) return 'gain'
  if (!move.ready && !fitsBeside(input, [...stages, ...replicas], move.target)) return 'room'
  const { paybackSeconds } = move
  return paybackSeconds === null || paybackSeconds * 1000 > PAYBACK_MS ? 'cost' : null
}

function moveTo({ input, held: holders, stages, use }: LivingState, target: readonly Stage[]): Move {
  const nowMs = valueOf(input.objective, predictStages(input, stages))
  const thenMs = valueOf(input.objective, predictStages(input, target))
  const { bytes, seconds } = movingCost(input, holders, target)
  const savedMs = (nowMs - thenMs) * Math.max(use, LEAST_USE)
  return {
    target,
    nowMs,
    thenMs,
    gain: nowMs > 0 ? (nowMs - thenMs) / nowMs : 0,
    bytes,
    seconds,
    paybackSeconds: savedMs > 0 ? (seconds * MINUTE) / savedMs : null,
    ready: placed(target).every((stage) => isReadyAt(holders, stage)),
  }
}

/**
 * The part that looks at the time.
 * @param sinceMs since this peer has first heard of the placement as it stands
 * @param quietMs for which nothing moves after a change
 */
export function judge(
  state: LivingState,
  { move, heldBy: reason }: Weighed,
  sinceMs: number,
  quietMs: number = QUIET_MS,
): Decision {
  const keep = (why: HeldBy, waitMs = 0): Decision => ({ action: 'keep', heldBy: why, move, waitMs })
  const { note } = state
  if (reason === null && note.next !== undefined) return prepared(state, move, note.next, sinceMs)
  if (reason !== null) return keep(reason)
  if (move !== null && state.kind === 'hand') {
    if (sinceMs < quietMs) return keep('quiet', quietMs - sinceMs)
    return { action: move.ready ? 'switch' : 'prepare', heldBy: null, move }
  }
  if (move === null) return keep('best')
  const isUndo = note.before !== undefined && isSame(move.target, note.before) && sinceMs < UNDO_MS
  if (isUndo && move.gain < UNDO_FACTOR * LEAST_GAIN) return keep('undo', UNDO_MS - sinceMs)
  const isRefused = note.refused !== undefined && isSame(move.target, note.refused) && sinceMs < UNDO_MS
  if (isRefused) return keep('refused', UNDO_MS - sinceMs)
  const quiet = move.gain >= URGENT_GAIN ? Math.min(URGENT_QUIET_MS, quietMs) : quietMs
  if (sinceMs < quiet) return keep('quiet', quiet - sinceMs)
  return { action: move.ready ? 'switch' : 'prepare', heldBy: null, move }
}

/** What is being prepared stands once all of it is loaded, unless it has become worse than what it was to replace. */
function prepared(state: LivingState, move: Move | null, next: readonly Stage[], sinceMs: number): Decision {
  const nothing = {
    target: next,
    nowMs: 0,
    thenMs: 0,
    gain: 0,
    bytes: 0,
    seconds: 0,
    paybackSeconds: null,
    ready: false,
  }
  const isWorse = move !== null && move.gain <= 0 && state.kind !== 'hand'
  if (move === null || isWorse) return { action: 'abandon', heldBy: null, move: move ?? nothing }
  if (move.ready) return { action: 'switch', heldBy: null, move }
  const hasFailed = placed(next).some((stage) =>
    heldBy(state.held, stage.peer).failed.some(([from, to]) => from === stage.from && to === stage.to),
  )
  if (hasFailed || sinceMs >= PREPARE_MS) return { action: 'abandon', heldBy: null, move }
  return { action: 'keep', heldBy: 'loading', move, waitMs: PREPARE_MS - sinceMs }
}

export function decide(state: LivingState, sinceMs: number): Decision {
  return judge(state, weigh(state), sinceMs)
}

/** The same blocks at the same peers; neighbours at one peer are one stage. */
export function isSame(one: readonly Stage[], other: readonly Stage[]): boolean {
  return keyOf(one) === keyOf(other)
}

function keyOf(stages: readonly Stage[]): string {
  const merged: Stage[] = []
  for (const stage of stages) {
    const last = merged.at(-1)
    if (last !== undefined && last.peer === stage.peer && last.to === stage.from)
      merged[merged.length - 1] = { ...last, to: stage.to }
    else merged.push(stage)
  }
  return merged.map(({ peer, from, to }) => `${peer} ${from} ${to}`).join('\n')
}

/** What the record says after a decision; null: nothing changes. */
export function changed(
  state: Pick<LivingState, 'stages' | 'replicas' | 'note'>,
  decision: Decision,
): {
  readonly stages: readonly Stage[]
  readonly replicas: readonly Stage[]
  readonly note: LivingState['note']
} | null {
  const { stages, replicas, note } = state
  const { origin, objective, without } = note
  if (decision.action === 'keep') return null
  const { target } = decision.move
  if (decision.action === 'prepare') {
    const wanted = placed(target).filter((stage) => !includes(stages, stage))
    return { stages, replicas: union(replicas, wanted), note: { ...note, next: target } }
  }
  if (decision.action === 'abandon') {
    const kept = replicas.filter((stage) => !includes(target, stage))
    return { stages, replicas: kept, note: { ...note, next: undefined, refused: target } }
  }
  // Who served until now stays ready: sessions under way go on there, and with it gone the new ones could.
  const spares = placed(stages).filter((stage) => !includes(target, stage))
  return { stages: target, replicas: spares, note: { origin, objective, without, before: stages } }
}

function includes(stages: readonly Stage[], { peer, from, to }: Stage): boolean {
  return stages.some((stage) => stage.peer === peer && stage.from === from && stage.to === to)
}

function union(one: readonly Stage[], other: readonly Stage[]): Stage[] {
  return [...one, ...other.filter((stage) => !includes(one, stage))]
}
