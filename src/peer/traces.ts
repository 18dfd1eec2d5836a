/** Where the time of the last answers went, each for whoever asks: `weft trace`, `/api/v1/traces`. */
import { joinTraces, summarizeTrace } from '../pipeline/index.ts'
import type { SessionTrace, TraceStep, TraceSummary } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { TraceMissingError } from './trace-errors.ts'

/** Parts of a step in one stage. */
const STEPS = ['queue', 'compute', 'serialize', 'wire'] as const

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
  /**
   * Stages that were replaced count as further attempts, as does a text that begins anew; the steps of a lost stage are not told.
   */
  readonly attempts: number
  readonly hops: SessionTrace['hops']
  /** Of the prompt, until the first token: what is given again later is among the steps alone. */
  readonly prefill: { readonly steps: number; readonly rows: number; readonly total_ms: number }
  /** Null: no step was told of by all stages. */
  readonly decode: TraceSummary | null
  readonly dropped: number
  /** Windows of guesses that came to nothing, and their rows; null: that is not known. */
  readonly void: SessionTrace['void']
  readonly steps: readonly TraceStep[]
}

interface Kept {
  readonly told: RequestTrace
  /** Of the sessions that its answer took. */
  readonly parts: readonly SessionTrace[]
}

export type TraceEntry = Omit<RequestTrace, 'schema' | 'steps' | 'hops'>

export class Traces {
  readonly #telemetry: Pick<Telemetry, 'count' | 'observe'>
  readonly #kept = new Map<string, Kept>()

  constructor(telemetry: Pick<Telemetry, 'count' | 'observe'>) {
    this.#telemetry = telemetry
  }

  /** Of another session of a request that is known, it goes on with what there is. */
  add(facts: TraceFacts, part: SessionTrace): void {
    const parts = [...(this.#kept.get(facts.request)?.parts ?? []), part]
    this.#kept.set(facts.request, { told: toldOf(facts, parts.length === 1 ? part : joinTraces(parts)), parts })
    for (const request of this.#kept.keys()) if (this.#kept.size > MOST_TRACES) this.#kept.delete(request)
    this.#count(facts.model, part)
  }

  /** Newest first. */
  list(): TraceEntry[] {
    return this.#all()
      .reverse()
      .map(({ schema: _schema, steps: _steps, hops: _hops, ...entry }) => entry)
  }

  /** The last one of a model, by any of its names, that tells where the time of its steps went. */
  lastOf(...names: readonly string[]): RequestTrace | undefined {
    return this.#all().findLast(({ model, decode }) => names.includes(model) && decode !== null)
  }

  /** @param request undefined: the last one. @throws TraceMissingError */
  get(request: string | undefined): RequestTrace {
    const found = request === undefined ? this.#all().at(-1) : this.#kept.get(request)?.told
    if (found === undefined) throw new TraceMissingError(request)
    return found
  }

  #all(): RequestTrace[] {
    return [...this.#kept.values()].map(({ told }) => told)
  }

  /** Of the steps that all stages have told of. */
  #count(model: string, part: SessionTrace): void {
    this.#countSteps(part.steps)
    for (const { phase, hops } of part.steps)
      for (const hop of hops)
        for (const step of STEPS)
          if (hop !== null) this.#telemetry.observe('stage_duration', hop[`${step}_ms`] / 1000, { model, phase, step })
    const summary = summarizeTrace(part)
    if (summary === null) return
    for (const [place, { compute_ms: compute }] of summary.hops.entries()) {
      const [busy, share] = [(compute * summary.steps) / 1000, summary.bubbles[place]!]
      this.#telemetry.count('stage_time', busy, { part: 'busy' })
      if (share < 1) this.#telemetry.count('stage_time', (busy * share) / (1 - share), { part: 'bubble' })
    }
  }

  #countSteps(steps: readonly TraceStep[]): void {
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

function toldOf(facts: TraceFacts, trace: SessionTrace): RequestTrace {
  const { hops, steps, dropped } = trace
  const first = steps.findIndex(({ phase }) => phase === 'decode')
  const prompt = first < 0 ? steps : steps.slice(0, first)
  const ends = prompt.map(({ begin_ms: begin, total_ms: total }) => begin + total)
  return {
    schema: 'weft.trace/1',
    ...facts,
    attempts: new Set(steps.map(({ attempt }) => attempt)).size,
    hops,
    prefill: {
      steps: prompt.length,
      rows: prompt.reduce((sum, { rows }) => sum + rows, 0),
      total_ms: Math.max(0, ...ends),
    },
    decode: summarizeTrace(trace),
    dropped,
    void: trace.void,
    steps,
  }
}
