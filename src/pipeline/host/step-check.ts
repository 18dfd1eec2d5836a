/** Rows that a stage is given: they continue their session, or rewind it, and are of the boundary that the manifest names. */
import { DTYPE } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import { OutOfStepError } from './errors.ts'
import type { Session } from './jobs.ts'
import { RUN } from './protocol.ts'

/** @throws OutOfStepError */
export function checkStep(manifest: ModelManifest, session: Session, message: Frame, count: number): void {
  const { position, dtype, dims } = message
  if (position < session.expected && (message.flags & RUN.rewind) !== 0) session.expected = position
  if (position !== session.expected || count === 0)
    throw new OutOfStepError('rows do not continue their session', { position, expected: session.expected, count })
  const { positions } = session
  if (position + count > positions)
    throw new OutOfStepError('rows go beyond the context of their session', { position, count, positions })
  const wire = manifest.boundary === 'f16' ? DTYPE.f16 : DTYPE.f32
  const isEmbedded = session.segment.embedding === null
  const fits = isEmbedded ? dtype === wire && dims[1] === manifest.shape.width : dtype === DTYPE.i32
  if (!fits) throw new OutOfStepError('rows are not of the boundary that the manifest names', { dtype, dims })
}
