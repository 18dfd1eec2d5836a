/** Work on named arrays that asks for an alias (`heart@live`): by what serves, or, for a share of it, by what is tried. */
import { toWeftError } from '../../errors.ts'
import type { RandomSource } from '../../util/index.ts'
import { ModelUnknownError } from '../errors.ts'
import type { InferRequest } from '../infer-mesh.ts'
import { NothingServesError } from './errors.ts'
import { WHOLE_MODELS } from './outlet.ts'
import type { Aliases, Picked } from './picked.ts'

export interface AliasNeeds {
  /** Of the request: who has had enough counts neither for nor against what is tried. */
  readonly signal: AbortSignal
  readonly federation: { readonly rollouts: Aliases }
  readonly inferring: { readonly random: RandomSource }
}

/**
 * A failure of what is tried, by no fault of who asked, is answered by what serves, or, where the name stands for another model by
 * then, by that one.
 * @param run the request with the name of a model in place of an alias. In one part where nothing else is asked for: such models are small
 * @throws NothingServesError, and what `run` throws
 */
export async function underAlias<Result, Asked extends InferRequest>(
  { signal, federation: { rollouts }, inferring: { random } }: AliasNeeds,
  model: string,
  request: Asked,
  run: (model: string, request: Asked) => Promise<Result>,
): Promise<Result> {
  const id = Buffer.from(random.bytes(16)).toString('hex')
  const pick = (): Picked | undefined => rollouts.pick(WHOLE_MODELS, model, id)
  const first = pick()
  if (first === undefined) return run(model, request)
  const { stages, parts } = request
  const asked = stages === undefined && parts === undefined ? { ...request, parts: 1 } : request
  const answered = async (picked: Picked, isLast: boolean): Promise<Result> => {
    if (picked.name === null) throw new NothingServesError(model)
    try {
      const result = await run(picked.name, asked)
      picked.ended(false)
      return result
    } catch (error) {
      if (signal.aborted) throw error
      // The name stands for a model that was put there: that it is missing is no fault of who asked.
      const isFault = error instanceof ModelUnknownError || toWeftError(error).info.http >= 500
      picked.ended(isFault)
      if (!isFault) throw error
      if (picked.arm === 'candidate' && picked.live !== null) return run(picked.live, asked)
      // A round that was taken back or followed by another meanwhile is gone with its model.
      const now = isLast ? undefined : pick()
      if (now === undefined || now.name === picked.name) throw error
      return answered(now, true)
    }
  }
  return answered(first, false)
}
