/** An answer of this peer, of which the measures hear: how long its steps took, and that the model is used. */
import type { AnyManifest } from '../models/index.ts'
import type { GenerateEvent, GenerateRequest, RouteHop } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'
import { watchAnswer } from './answer-watch.ts'
import type { Library } from './library.ts'
import type { PlanMeasures } from './profile-plan.ts'
import type { Requests } from './requests.ts'

export interface WatchedAnswerNeeds {
  readonly clock: Clock
  readonly library: Pick<Library, 'list'>
  readonly measured: PlanMeasures
  readonly requests: Requests
}

export function watchedAnswer(
  { clock, library, measured, requests }: WatchedAnswerNeeds,
  request: GenerateRequest,
  signal?: AbortSignal,
): AsyncIterable<GenerateEvent> {
  // What yields to others says nothing of how fast its stages are.
  if (request.lane === 'batch') return requests.generate(request, signal)
  const tell = (what: (manifest: AnyManifest) => void): void => {
    const manifest = library.list().find(({ model, digest }) => [model, digest].includes(request.model))
    if (manifest !== undefined) what(manifest)
  }
  const told = (manner: 'whole' | 'part') => (route: readonly RouteHop[], stepMs: number) =>
    tell((manifest) => measured.answered(manifest, route, stepMs, manner))
  return watchAnswer(requests.generate(request, signal), told('whole'), {
    clock,
    alone: () => requests.list().length === 1,
    part: told('part'),
    used: (tokens, steps) => tell((manifest) => measured.used(manifest, tokens, steps)),
  })
}
