/** What the routes of one API share. */
import type { EventBus } from '../telemetry/index.ts'
import type { Dashboard } from './dashboard.ts'
import type { BatchRunner } from './batches/runner.ts'
import type { Exchanges } from './exchange.ts'
import type { ApiLimits } from './limits.ts'
import type { Measure } from './measure.ts'
import type { OpenAiNeeds } from './openai/needs.ts'
import type { Streams } from './resume/streams.ts'
import type { ApiInit, ApiNeeds } from './types.ts'

export interface ServerParts {
  readonly needs: ApiNeeds
  readonly init: ApiInit
  readonly limits: ApiLimits
  readonly exchanges: Exchanges
  readonly measure: Measure
  readonly openAi: OpenAiNeeds
  readonly streams: Streams
  /** Undefined: nothing keeps any. */
  readonly batches: BatchRunner | undefined
  readonly events: EventBus
  readonly eventStreams: EventStreams
  readonly dashboard: Dashboard
  /** Seconds since 1970. */
  readonly started: number
}

/** Open readers of events, so that a closing API can end them. */
export interface EventStreams {
  /** @throws OverloadedError */
  add(end: () => void): () => void
  endAll(): void
}
