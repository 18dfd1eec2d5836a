/** Placements that stand, for people: who could go on with them, and whether and why they are about to move. */
import type { PeerStatus, PlacementView, ReplanStatus } from '../peer/index.ts'
import { formatBytes, formatMs } from './format.ts'
import { namesOf, placementText } from './views.ts'
import { printable, table } from './text.ts'

type Names = ReadonlyMap<string, string>

/** One line a model, and one for each that hangs on a single peer. */
export function placementsTable(status: PeerStatus): string[] {
  const placements = status.placements ?? []
  const names = namesOf(status)
  const rows = placements.map((placement) => [
    printable(placement.model),
    placementText(placement.stages, names),
    placement.pinned ? 'by hand' : 'chosen',
    replanText(placement, names),
  ])
  return [
    ...table([{ head: 'PLACEMENT' }, { head: 'STAGES' }, { head: 'BY' }, { head: 'MOVES' }], rows),
    // Alone, nobody else could have anything.
    ...(names.size > 1 ? placements.flatMap((placement) => coverageNotes(placement)) : []),
  ]
}

function coverageNotes({ model, coverage }: PlacementView): string[] {
  const ranges = (blocks: readonly (readonly [number, number])[]): string =>
    blocks.map(([from, to]) => `${from}:${to}`).join(', ')
  const { single = [], last = [] } = coverage ?? {}
  return [
    ...(single.length === 0 ? [] : [`! ${printable(model)}: one peer alone has ${ranges(single)} ready`]),
    ...(last.length === 0 ? [] : [`! ${printable(model)}: one peer alone has the tensors of ${ranges(last)}`]),
  ]
}

const HELD: Readonly<Record<NonNullable<ReplanStatus['held_by']>, string>> = {
  pinned: 'never: it was placed by hand',
  objective: 'never: it was not placed for speed',
  incomplete: 'a peer of it is away: the next request repairs it',
  'no-fit': 'nothing fits now',
  best: 'nothing is better',
  gain: 'not for so little',
  room: 'no room for old and new beside each other',
  cost: 'the move would cost more than it brings',
  quiet: 'waits for quiet',
  undo: 'it was left a moment ago: only for twice the gain',
  refused: 'it could not be prepared a moment ago',
  loading: 'is being prepared',
}

export function replanText({ replan }: PlacementView, names: Names): string {
  if (replan === null) return '-'
  const { action, gain, held_by: held, mode, target, wait_s: wait } = replan
  const what = held === null ? ACTIONS[action] : HELD[held]
  const when = held !== null && wait > 0 && held !== 'loading' ? `, ${wait} s more` : ''
  const to = target === null ? '' : ` (${placementText(target, names)}, ${percent(gain)} sooner)`
  return `${mode === 'preview' ? 'preview: ' : ''}${what}${when}${to}`
}

const ACTIONS = {
  keep: 'stays',
  prepare: 'will be prepared',
  switch: 'will move',
  abandon: 'will be given up',
} as const

function percent(share: number | null): string {
  return `${Math.round((share ?? 0) * 100)} %`
}

/** All that is known of whether one placement moves. */
export function runningLines(placement: PlacementView, names: Names): string[] {
  const { model, epoch, stages, replicas, replan, pinned } = placement
  const head = `${printable(model)}: ${placementText(stages, names)} (${pinned ? 'by hand' : 'chosen'}, epoch ${epoch})`
  const spares = replicas.length === 0 ? [] : [`ready beside it: ${placementText(replicas, names)}`]
  if (replan === null) return [head, ...spares, 'it is not weighed: re-planning is off here, or this peer is alone']
  const figures =
    replan.target === null
      ? []
      : [
          `better: ${placementText(replan.target, names)}`,
          `a token: ${formatMs(replan.now_ms)} now, ${formatMs(replan.then_ms)} then, ${percent(replan.gain)} sooner`,
          `it takes: ${formatBytes(replan.bytes ?? 0)} and ${Math.ceil(replan.seconds ?? 0)} s, ` +
            (replan.payback_s === null ? 'never paid back' : `paid back in ${Math.ceil(replan.payback_s)} s of use`),
        ]
  return [
    head,
    ...spares,
    ...figures,
    `moves: ${replanText(placement, names)}`,
    ...(names.size > 1 ? coverageNotes(placement) : []),
  ]
}
