/** What of a request only its model can tell to be wrong. */
import { UnknownTokenError } from '../models/index.ts'
import { FormatUnsupportedError } from '../pipeline/index.ts'
import type { GenerateRequest } from '../pipeline/index.ts'
import { DraftUnusableError } from './draft-errors.ts'

/** @throws UnknownTokenError, FormatUnsupportedError, DraftUnusableError */
export function checkRequest(
  { draft, format, input, model: name, sampling }: GenerateRequest,
  model: { readonly vocabulary: number; readonly isGraph: boolean },
): void {
  const { vocabulary, isGraph } = model
  const named = [...(input.kind === 'ids' ? input.ids : []), ...(sampling.logitBias ?? []).map(([id]) => id)]
  const unknown = named.find((id) => id >= vocabulary)
  if (unknown !== undefined) throw new UnknownTokenError(unknown, vocabulary)
  if (draft !== undefined && isGraph) throw new DraftUnusableError(name, draft, `${name} was imported as a graph`)
  if (format !== undefined && isGraph) throw new FormatUnsupportedError('it was imported as a graph')
}
