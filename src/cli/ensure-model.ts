/** A model that the catalogue knows and nobody holds yet is fetched before it is run. */
import type { CommandContext } from './context.ts'
import type { PeerAccess } from './peer-access.ts'
import { createProgress } from './progress.ts'

export async function ensureModel(
  { io, out }: CommandContext,
  access: PeerAccess,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  const known = (await access.models(signal)).find((entry) => entry.model === model)
  // One that nobody lists is left to `generate`, whose error says what there is.
  if (known === undefined || known.local || known.holders.length > 0 || !known.available) return
  out.note(`${model} is not here yet: fetching it`)
  const progress = createProgress(io, out)
  try {
    await access.importModel({ source: model }, progress.sink, signal)
  } finally {
    progress.end()
  }
}
