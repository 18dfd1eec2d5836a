/** Every histogram that weft has, as data; the other metrics are in the table beside it. */
import { CODES, MODELS } from './metrics-table.ts'
import type { MetricRow } from './metrics-table.ts'

export interface HistogramRow extends MetricRow {
  /** Full exported name; `weft_<name>_seconds` where absent. */
  readonly exported?: string
  /** Upper bounds, seconds. */
  readonly buckets: readonly number[]
}

const OPERATION = ['chat', 'text_completion', 'generate', 'other'] as const
const REQUEST_LABELS = {
  gen_ai_operation_name: OPERATION,
  gen_ai_provider_name: ['weft'],
  gen_ai_request_model: MODELS,
  error_type: CODES,
} as const

/** Buckets of OpenTelemetry's GenAI conventions (semantic-conventions 7b0c0fe1e, status Development). */
export const HISTOGRAMS = {
  request_duration: {
    help: 'Time of a generation, from request to last byte.',
    exported: 'gen_ai_server_request_duration_seconds',
    buckets: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
    labels: REQUEST_LABELS,
  },
  time_to_first_token: {
    help: 'Time from request to first token.',
    exported: 'gen_ai_server_time_to_first_token_seconds',
    buckets: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    labels: REQUEST_LABELS,
  },
  time_per_output_token: {
    help: 'Time of a token after the first.',
    exported: 'gen_ai_server_time_per_output_token_seconds',
    buckets: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
    labels: REQUEST_LABELS,
  },
  stage_duration: {
    help: 'Time of one step in one stage.',
    exported: 'weft_pipeline_stage_duration_seconds',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    labels: {
      model: MODELS,
      phase: ['prefill', 'decode'],
      step: ['queue', 'compute', 'serialize', 'wire'],
    },
  },
  stage_load: {
    help: 'Time to load a stage.',
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    labels: { model: MODELS },
  },
  peer_rtt: {
    help: 'Round trips to other peers.',
    buckets: [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  },
} as const satisfies Record<string, HistogramRow>

export type HistogramName = keyof typeof HISTOGRAMS
