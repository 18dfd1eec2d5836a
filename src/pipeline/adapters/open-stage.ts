/** A session of an origin at a stage here, and what may come in for it. */
import { parametersOf } from '../../training/index.ts'
import type { CancelTimer } from '../../util/index.ts'
import type { Message } from '../graph/messages.ts'
import type { Tensors } from '../graph/tensors.ts'
import type { Link } from '../ring/links.ts'
import { TrainingRefusedError } from './errors.ts'
import type { LentTrainHost } from './hosts.ts'
import { TRAIN } from './protocol.ts'
import type { SessionMemory } from './session-memory.ts'
import type { TrainBegin, TrainOpen } from './protocol.ts'

/** What an origin hears of its run. */
export interface TrainListener {
  opened(place: number, pid: number): void
  rows(step: number, micro: number, tensors: Tensors): void
  returned(step: number, micro: number, tensors: Tensors): void
  gradients(place: number, step: number, tensors: Tensors): void
  /** @param place of the stage that ended; null: the peer went away */
  failed(peer: string, error: Error): void
}

/** A run of this peer, and where it goes. */
export interface TrainOrigin {
  /** Of the model. */
  readonly digest: string
  /** The peer of each stage. */
  readonly route: readonly string[]
  readonly listener: TrainListener
}

export interface OpenStage {
  readonly origin: Link
  readonly request: number
  readonly place: number
  readonly open: TrainOpen
  readonly lent: LentTrainHost
  /** Of the session in the host. */
  readonly session: number
  readonly memory: SessionMemory
  step: number
  begun: TrainBegin
  /** Micro-batches of this step whose gradients have not come back. */
  underWay: number
  returned: number
  /** Rows of a step that has not begun here: its `begin` comes from the origin, over a connection that may be the slower one. */
  readonly early: EarlyRows[]
  silence: CancelTimer
}

export interface EarlyRows {
  readonly from: Link
  readonly message: Message
}

/** Micro-batches that are kept for their way back, beyond one a stage: the head's, and one between (line-run.ts). */
const UNDER_WAY_BEYOND = 2
/** Of one micro-batch: what a layer keeps of it for the way back is some thirty times as large. */
const MAX_ROWS = 65_536

/** Place of the origin where gradients end: a frame's field has no sign. */
export const BEFORE_FIRST = 0xffff

/** Before its first step. */
export function notBegun(): Pick<OpenStage, 'step' | 'begun' | 'underWay' | 'returned' | 'early' | 'silence'> {
  const begun = { micros: 0, back: false }
  return { step: -1, begun, underWay: 0, returned: 0, early: [], silence: () => undefined }
}

/** Kept until the step begins. @returns false: they are not early. @throws TrainingRefusedError */
export function keptEarly(stage: OpenStage, rows: EarlyRows): boolean {
  const { head } = rows.message
  if (head.type !== TRAIN.forward || head.step <= stage.step) return false
  checkUnderWay(stage, stage.early.length + 1)
  stage.early.push(rows)
  return true
}

/** No schedule needs more micro-batches here at once. @throws TrainingRefusedError */
export function checkUnderWay({ open }: OpenStage, count: number): void {
  if (count > open.route.length + UNDER_WAY_BEYOND)
    throw new TrainingRefusedError('more micro-batches are under way than any schedule needs', { count })
}

export function keyOf(origin: string, request: number, place: number): string {
  return `${origin}/${request}/${place}`
}

export function checkRange({ from, to, length }: TrainOpen, { manifest }: LentTrainHost): void {
  const { blocks, shape } = manifest
  if (from < 1 || from >= to || to > blocks.length - 1) {
    throw new TrainingRefusedError(`blocks ${from} to ${to} are not layers of the model`, { from, to })
  }
  if (length > shape.context) throw new TrainingRefusedError(`texts of ${length} rows are over the context`, { length })
}

/** What a stranger sends has to be of the model's width, whole texts, and of a micro-batch of the step. */
export function checkRows(tensors: Tensors, name: string, { begun, lent, open }: OpenStage, micro: number): void {
  if (micro >= begun.micros) throw new TrainingRefusedError(`the step has ${begun.micros} micro-batches`, { micro })
  const tensor = tensors.get(name)
  const [count = 0, width] = tensor?.dims ?? []
  const isRows = tensor?.type === 'float32' && tensor.dims.length === 2 && width === lent.manifest.shape.width
  if (!isRows || tensors.size !== 1) throw new TrainingRefusedError(`${name} are not of the width of the model`)
  if (count === 0 || count % open.length !== 0 || count > MAX_ROWS)
    throw new TrainingRefusedError(`${count} rows are not whole texts of ${open.length}, or over ${MAX_ROWS}`, {
      count,
    })
}

/** Bytes of a session's adapters and of their gradients. */
export function adapterBytes({ open: { from, to, form }, lent }: OpenStage): number {
  const own = parametersOf(lent.manifest.shape, form, from, to)
  return own.reduce((sum, { dims: [rows, columns] }) => sum + 2 * 4 * rows * columns, 0)
}

/** Bytes of what goes into each layer, kept for the way back. */
export function keptBytes({ open: { from, to }, lent }: OpenStage, rows: number): number {
  return 4 * rows * lent.manifest.shape.width * (to - from)
}

export function rowsIn(tensors: Tensors, name: string): number {
  return tensors.get(name)?.dims[0] ?? 0
}

/** Rows come from the stage before, gradients from the one behind; the origin stands at both ends. */
export function isNeighbour({ open: { route }, place, origin }: OpenStage, from: Link, type: number): boolean {
  const neighbour = route[type === TRAIN.forward ? place - 1 : place + 1]
  return from.peer === (neighbour ?? origin.peer)
}

/** Does this stage send anything of its session to `peer`, other than to the origin? */
export function isSentTo({ open: { route }, place }: OpenStage, peer: string): boolean {
  return route[place + 1] === peer || route[place - 1] === peer
}
