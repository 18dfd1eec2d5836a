/** Times of generations, under the names of OpenTelemetry's GenAI conventions. */
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'

export interface Meter {
  /** Names the model once it is known to exist: what a client writes is no label. */
  model(model: string): void
  token(): void
  /** `code`: of the error that ended it, or null. */
  end(code: string | null): void
}

export interface Measure {
  begin(operation: 'chat' | 'text_completion' | 'embeddings' | 'generate'): Meter
}

export function createMeasure(clock: Clock, telemetry: Telemetry): Measure {
  return {
    begin: (operation) => {
      const began = clock.now()
      let first: number | null = null
      let last = began
      let tokens = 0
      const labels: Record<string, string> = { gen_ai_operation_name: operation, gen_ai_provider_name: 'weft' }
      const seconds = (from: number, to: number): number => (to - from) / 1000
      return {
        model: (model) => {
          labels['gen_ai_request_model'] = model
        },
        token: () => {
          last = clock.now()
          tokens += 1
          if (first !== null) return
          first = last
          telemetry.observe('time_to_first_token', seconds(began, first), labels)
        },
        end: (code) => {
          const ended = code === null ? labels : { ...labels, error_type: code }
          telemetry.observe('request_duration', seconds(began, clock.now()), ended)
          if (first !== null && tokens > 1)
            telemetry.observe('time_per_output_token', seconds(first, last) / (tokens - 1), ended)
        },
      }
    },
  }
}
