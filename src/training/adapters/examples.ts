/** Examples for an adapter: windows of the base model's tokens. */
import { readTokens } from '../../data/index.ts'
import type { Tokenizer } from '../../models/index.ts'
import { forEachSource, loadParts, loadWindows } from '../data/index.ts'
import type { Examples, LoadNeeds, TextReader } from '../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { TrainPlan } from '../plan/schema.ts'

/** @throws PlanFieldError, NoRowsError, and the errors of the files */
export function loadTokenExamples(
  plan: TrainPlan,
  tokenizer: Tokenizer,
  needs: LoadNeeds,
  signal?: AbortSignal,
): Promise<Examples> {
  const [end = null] = tokenizer.endTokens
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addBos: false, addEos: false })
  const reader: TextReader = {
    unit: 'tokens',
    outputs: tokenizer.vocabulary,
    read: (request, stop) => readTokens({ ...request, encode, end }, stop),
  }
  const each = forEachSource(plan, needs)
  return loadParts(plan, needs.planPath, async (spec, split) => {
    if (spec.kind !== 'text') throw new PlanFieldError(needs.planPath, 'data.kind', 'a language model takes "text"')
    return loadWindows(spec, each, split, reader, signal)
  })
}
