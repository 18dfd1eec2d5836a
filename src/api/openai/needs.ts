/** What the OpenAI routes need beside the peer. */
import type { Measure } from '../measure.ts'
import type { Streams } from '../resume/streams.ts'
import type { ApiNeeds } from '../types.ts'

export interface OpenAiNeeds extends Pick<ApiNeeds, 'peer' | 'clock'> {
  readonly streams: Streams
  readonly measure: Measure
  /** Milliseconds between comments while a stream has nothing to say yet. */
  readonly waitCommentMs: number
  /** Random letters, for ids of answers. */
  readonly id: () => string
  /** Seconds since 1970. */
  readonly created: () => number
  /** For requests that name no seed. */
  readonly seed: () => number
}
