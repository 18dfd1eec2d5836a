/** What the OpenAI routes need beside the peer. */
import type { Measure } from '../measure.ts'
import type { ApiNeeds } from '../types.ts'

export interface OpenAiNeeds extends Pick<ApiNeeds, 'peer'> {
  readonly measure: Measure
  /** Random letters, for ids of answers. */
  readonly id: () => string
  /** Seconds since 1970. */
  readonly created: () => number
  /** For requests that name no seed. */
  readonly seed: () => number
}
