/**
 * Rows that a stage is given: they continue their session, or rewind it, and are of the boundary that the manifest names.
 * What passes is computed beside rows of others, so nothing may pass that makes a run throw.
 */
import { DTYPE } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import { OutOfStepError } from './errors.ts'
import type { Session } from './jobs.ts'
import { RUN } from './protocol.ts'

/**
 * Rows of one attempt, those of another that come once more, and a frame: a sender that goes back again and again would
 * fill the host's memory.
 */
const mostWaiting = (positions: number): number => 2 * positions + 512

/** @throws OutOfStepError */
export function checkStep(manifest: ModelManifest, session: Session, message: Frame, count: number): void {
  const { position } = message
  if (position < session.expected && (message.flags & RUN.rewind) !== 0) session.expected = position
  if (position !== session.expected || count === 0)
    throw new OutOfStepError('rows do not continue their session', { position, expected: session.expected, count })
  // An origin names its positions freely; angles are made for those of the model's context.
  const positions = Math.min(session.positions, manifest.shape.context)
  if (position + count > positions)
    throw new OutOfStepError('rows go beyond the context of their session', { position, count, positions })
  if (session.waiting + count > mostWaiting(positions))
    throw new OutOfStepError('more rows wait than a session can have', { waiting: session.waiting, count, positions })
  const fits = session.segment.embedding === null ? isRows(manifest, message) : isIds(message)
  const { dtype, dims } = message
  if (!fits) throw new OutOfStepError('rows are not of the boundary that the manifest names', { dtype, dims })
}

function isRows({ boundary, shape }: ModelManifest, { dtype, dims, payload }: Frame): boolean {
  const [count = 0, width] = dims
  const [wire, size] = boundary === 'f16' ? [DTYPE.f16, 2] : [DTYPE.f32, 4]
  return dtype === wire && dims.length === 2 && width === shape.width && payload.length === count * width * size
}

function isIds({ dtype, dims: [count = 0, ...more], payload }: Frame): boolean {
  return dtype === DTYPE.i32 && more.length === 0 && payload.length === 4 * count
}
