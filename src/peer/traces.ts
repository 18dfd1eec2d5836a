/** Where the time of the last answers went, each for whoever asks: `weft trace`, `/api/v1/traces`. */
import { summarizeTrace } from '../pipeline/index.ts'
import type { SessionTrace, TraceStep, TraceSummary } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { TraceMissingError } from './trace-errors.ts'

/** Of so many answers; one has some 100 KB. */
const MOST_TRACES = 32

export interface TraceFacts {
  readonly request: string
  readonly model: string
  /** When it began: ISO 8601, UTC. */
  readonly at: string
  readonly prompt_tokens: number
  readonly tokens: number
}

/** `weft.trace/1`. All times are milliseconds. */
export interface RequestTrace extends TraceFacts {
  readonly schema: 'weft.trace/1'
  /** Stages that were replaced count as further attempts; the steps of a lost stage are not told. */
  readonly attempts: number
  readonly hops: SessionTrace['hops']
  readonly prefill: { readonly steps: number; readonly rows: number; readonly total_ms: number }
  /** Null: no step was told of by all stages. */
  readonly decode: TraceSummary | null
  readonly dropped: number
  /** Windows of guesses that came to nothing, and their rows. */
  readonly void: SessionTrace['void']
  readonly steps: readonly TraceStep[]
}

export type TraceEntry = Omit<RequestTrace, 'schema' | 'steps' | 'hops'>

export class Traces {
  readonly #telemetry: Pick<Telemetry, 'count'>
  readonly #kept = new Map<string, RequestTrace>()

  constructor(telemetry: Pick<Telemetry, 'count'>) {
    this.#telemetry = telemetry
  }

  add(facts: TraceFacts, trace: SessionTrace): void {
    const prompt = trace.steps.filter(({ phase }) => phase === 'prefill')
    const ends = prompt.map(({ begin_ms: begin, total_ms: total }) => begin + total)
    const kept: RequestTrace = {
      schema: 'weft.trace/1',
      ...facts,
      attempts: new Set(trace.steps.map(({ attempt }) => attempt)).size,
      hops: trace.hops,
      prefill: {
        steps: prompt.length,
        rows: prompt.reduce((sum, { rows }) => sum + rows, 0),
        total_ms: Math.max(0, ...ends),
      },
      decode: summarizeTrace(trace),
      dropped: trace.dropped,
      void: trace.void,
      steps: trace.steps,
    }
    this.#kept.set(facts.request, kept)
    for (const request of this.#kept.keys()) if (this.#kept.size > MOST_TRACES) this.#kept.delete(request)
    this.#count(trace.steps)
  }

  /** Newest first. */
  list(): TraceEntry[] {
    return [...this.#kept.values()].reverse().map(({ schema: _schema, steps: _steps, hops: _hops, ...entry }) => entry)
  }

  /** The last one of a model, by any of its names, that tells where the time of its steps went. */
  lastOf(...names: readonly string[]): RequestTrace | undefined {
    return [...this.#kept.values()].findLast(({ model, decode }) => names.includes(model) && decode !== null)
  }

  /** @param request undefined: the last one. @throws TraceMissingError */
  get(request: string | undefined): RequestTrace {
    const found = request === undefined ? [...this.#kept.values()].at(-1) : this.#kept.get(request)
    if (found === undefined) throw new TraceMissingError(request)
    return found
  }

  #count(steps: readonly TraceStep[]): void {
    const sums = { origin: 0, wire: 0, queue: 0, compute: 0, serialize: 0 }
    for (const step of steps) {
      if (step.phase !== 'decode' || step.hops.includes(null)) continue
      sums.origin += step.origin_ms
      sums.wire += step.back_ms
      for (const hop of step.hops) {
        sums.wire += hop!.wire_ms
        sums.queue += hop!.queue_ms
        sums.compute += hop!.compute_ms
        sums.serialize += hop!.serialize_ms
      }
    }
    for (const [part, ms] of Object.entries(sums)) this.#telemetry.count('step_time', ms / 1000, { part })
  }
}
