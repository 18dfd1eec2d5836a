/** Re-planning, put together with what it watches and what it moves. */
import type { Mesh } from '../mesh/index.ts'
import { Probation } from './probation.ts'
import type { ProbationNeeds } from './probation.ts'
import { Replanning } from './replanning.ts'
import type { ReplanningNeeds } from './replanning.ts'
import type { Requests } from './requests.ts'

type Shared = Omit<
  ProbationNeeds & ReplanningNeeds,
  'mesh' | 'generate' | 'probation' | 'leave' | 'isUsing' | 'mode' | 'quiet' | 'log'
>

export interface ReplanningParts extends Pick<ReplanningNeeds, 'mode' | 'quiet' | 'log'> {
  readonly parts: Shared & { readonly mesh: Mesh | null }
  readonly requests: Requests
}

/** Null for a peer that is alone. */
export function createReplanning({ parts, requests, ...own }: ReplanningParts): Replanning | null {
  const { mesh } = parts
  if (mesh === null) return null
  const probation = new Probation({ ...parts, generate: (request) => requests.generate(request) })
  const leave: ReplanningNeeds['leave'] = (digest, peers) => requests.underWay.leave(digest, peers)
  const isUsing: ReplanningNeeds['isUsing'] = (digest) => requests.underWay.has(digest)
  return new Replanning({ ...parts, ...own, mesh, probation, leave, isUsing })
}
