/** What of a request only its model can tell to be wrong. */
import { UnknownTokenError } from '../models/index.ts'
import { FormatUnsupportedError } from '../pipeline/index.ts'
import type { GenerateRequest } from '../pipeline/index.ts'

/** @throws UnknownTokenError, FormatUnsupportedError */
export function checkRequest(
  { format, sampling }: Pick<GenerateRequest, 'format' | 'sampling'>,
  model: { readonly vocabulary: number; readonly isGraph: boolean },
): void {
  const { vocabulary, isGraph } = model
  for (const [id] of sampling.logitBias ?? []) if (id >= vocabulary) throw new UnknownTokenError(id, vocabulary)
  if (format !== undefined && isGraph) throw new FormatUnsupportedError('it was imported as a graph')
}
