/**
 * Where the time of an answer went: each step from its origin through its stages and back. Every peer measures by its own
 * clock how long it had a step; what is left between two peers is the way between them. Clocks are set against each other by
 * one question at the end, so a way may have some of another's time, but the parts of a step add up to all of it.
 */
import type { HopTrace } from '../ring/trace-answers.ts'
import type { Span } from '../ring/spans.ts'

/** Of one step at one stage, in milliseconds. */
export interface HopTimes {
  /** From the peer before to this one: framing, checksums, the link. */
  readonly wire_ms: number
  /** In the stage host, while it did other things: rows of other sessions; at the head also the choice of a token. */
  readonly queue_ms: number
  readonly compute_ms: number
  /** In the peer around its stage host: digests, and the socket between the two. */
  readonly serialize_ms: number
}

export interface TraceStep {
  readonly attempt: number
  readonly phase: 'prefill' | 'decode'
  /** Of its first row. */
  readonly position: number
  readonly rows: number
  /** When the origin sent it, since the first. */
  readonly begin_ms: number
  /** Before: from the token before, for a step of decoding. */
  readonly origin_ms: number
  /** By place in the route; null: that stage has told nothing of this step. */
  readonly hops: readonly (HopTimes | null)[]
  /** From the last stage to the origin. */
  readonly back_ms: number
  /** From the token before, or, of a prompt, from its own begin, until its answer was here. */
  readonly total_ms: number
  /** Windows of guesses that were under way when it was sent: it stands behind them. 0: it went alone. */
  readonly behind: number
}

export interface SessionTrace {
  /** When its first step was sent: milliseconds of the origin's clock. */
  readonly began: number
  readonly hops: readonly {
    readonly peer: string
    readonly from: number
    readonly to: number
    /** How far the split between the ways to and from this stage may be off; null: it has told nothing. */
    readonly clock_ms: number | null
  }[]
  readonly steps: readonly TraceStep[]
  /** Steps in the middle that were not kept. */
  readonly dropped: number
  /** Windows that the first stage had and nobody answered: a guess before them was wrong. Null: it has not told of all steps. */
  readonly void: { readonly steps: number; readonly rows: number } | null
}

export interface TraceInit {
  /** Positions of the prompt. */
  readonly prompt: number
  readonly route: readonly { readonly peer: string; readonly from: number; readonly to: number }[]
  /** The origin's own: from when a step was sent until its answer came. */
  readonly own: readonly Span[]
  readonly dropped: number
  readonly hops: readonly (HopTrace | undefined)[]
}

type Found = ReadonlyMap<string, Span>

export function assembleTrace({ prompt, route, own, dropped, hops }: TraceInit): SessionTrace {
  const found = hops.map((hop): Found => new Map((hop?.spans ?? []).map((span) => [keyOf(span), span])))
  const ahead = setClocks(own, hops, found)
  const first = own[0]?.came ?? 0
  const answered = new Map(own.map((span) => [keyOf(span), span.came + span.stayed / 1000]))
  const steps = own.map((span): TraceStep => {
    const before = answered.get(keyOf({ ...span, step: span.step - 1 }))
    const isDecode = span.position >= prompt && before !== undefined
    const origin = isDecode ? Math.max(0, span.came - before) : 0
    return {
      attempt: span.attempt,
      phase: span.position >= prompt ? 'decode' : 'prefill',
      position: span.position,
      rows: span.rows,
      begin_ms: span.came - first,
      origin_ms: origin,
      ...timesOf(span, found, ahead),
      total_ms: origin + span.stayed / 1000,
      behind: span.position >= prompt ? own.filter((other) => isUnderWay(other, span)).length : 0,
    }
  })
  return {
    began: first,
    hops: route.map(({ peer, from, to }, place) => ({ peer, from, to, clock_ms: hops[place]?.uncertain ?? null })),
    steps,
    dropped,
    void: dropped > 0 ? null : voidOf(own, prompt, hops[0]),
  }
}

/** A stage that took another's place, or kept only some steps, cannot say what there was. */
function voidOf(own: readonly Span[], prompt: number, first: HopTrace | undefined): SessionTrace['void'] {
  if (first === undefined || first.dropped > 0) return null
  const told = new Set(first.spans.map(keyOf))
  if (!own.every((span) => told.has(keyOf(span)))) return null
  const answered = new Set(own.map(keyOf))
  const none = first.spans.filter((span) => span.position >= prompt && !answered.has(keyOf(span)))
  return { steps: none.length, rows: none.reduce((sum, { rows }) => sum + rows, 0) }
}

/** Another step was sent before this one, and not answered then. */
function isUnderWay(other: Span, { attempt, step, came }: Span): boolean {
  return other.attempt === attempt && other.step < step && other.came + other.stayed / 1000 > came
}

function keyOf({ attempt, step }: Pick<Span, 'attempt' | 'step'>): string {
  return `${attempt}/${step}`
}

function timesOf(span: Span, found: readonly Found[], ahead: readonly number[]): Pick<TraceStep, 'hops' | 'back_ms'> {
  let left = span.came
  const hops = found.map((spans, place): HopTimes | null => {
    const here = spans.get(keyOf(span))
    if (here === undefined) return null
    const came = here.came - ahead[place]!
    const wire = Math.max(0, came - left)
    left = came + here.stayed / 1000
    const rest = Math.max(0, here.stayed - here.computed - here.waited)
    return {
      wire_ms: wire,
      queue_ms: here.waited / 1000,
      compute_ms: here.computed / 1000,
      serialize_ms: rest / 1000,
    }
  })
  return { hops, back_ms: Math.max(0, span.came + span.stayed / 1000 - left) }
}

/**
 * Milliseconds that each hop's clock is ahead: as it was asked, moved so far that nothing comes anywhere before it was sent.
 * Between two clocks the least that any step took on its way bounds the difference from above, all the way round.
 */
function setClocks(own: readonly Span[], hops: readonly (HopTrace | undefined)[], found: readonly Found[]): number[] {
  const least = [...found.keys(), found.length].map((place) => leastOnTheWay(own, found, place))
  const ahead = hops.map((hop) => hop?.ahead ?? 0)
  // Of this peer's own stages the clock is known.
  const isKnown = (place: number): boolean => hops[place]?.uncertain === 0
  for (const place of ahead.keys())
    if (!isKnown(place)) ahead[place] = Math.min(ahead[place]!, (ahead[place - 1] ?? 0) + least[place]!)
  for (const place of [...ahead.keys()].reverse())
    if (!isKnown(place)) ahead[place] = Math.max(ahead[place]!, (ahead[place + 1] ?? 0) - least[place + 1]!)
  return ahead
}

/** Of all steps, by the clocks at both ends; from the hop before `place` to that, the origin being before the first and after the last. */
function leastOnTheWay(own: readonly Span[], found: readonly Found[], place: number): number {
  const ways = own.flatMap((span): number[] => {
    const before = place === 0 ? { came: span.came, stayed: 0 } : found[place - 1]!.get(keyOf(span))
    const there = place === found.length ? span.came + span.stayed / 1000 : found[place]!.get(keyOf(span))?.came
    return before === undefined || there === undefined ? [] : [there - before.came - before.stayed / 1000]
  })
  return Math.min(...ways)
}

export interface TraceSummary {
  /** Steps of decoding that all stages have told of. */
  readonly steps: number
  /** Means of a step of decoding, in milliseconds. */
  readonly step_ms: number
  readonly origin_ms: number
  readonly hops: readonly HopTimes[]
  readonly back_ms: number
  /** Share of the time of these steps that the parts above add up to. */
  readonly explained: number
  /** Share of the time in which each stage computed nothing for this answer. */
  readonly bubbles: readonly number[]
  /** Steps that were under way at once. */
  readonly in_flight: { readonly mean: number; readonly most: number }
}

/** Null: no step of decoding was told of by all stages. */
export function summarizeTrace({ hops, steps }: SessionTrace): TraceSummary | null {
  const whole = steps.filter((step) => step.phase === 'decode' && step.hops.every((hop) => hop !== null))
  if (whole.length === 0) return null
  const mean = (value: (step: TraceStep) => number): number =>
    whole.reduce((sum, step) => sum + value(step), 0) / whole.length
  const parts = hops.map((_, place): HopTimes => ({
    wire_ms: mean(({ hops: all }) => all[place]!.wire_ms),
    queue_ms: mean(({ hops: all }) => all[place]!.queue_ms),
    compute_ms: mean(({ hops: all }) => all[place]!.compute_ms),
    serialize_ms: mean(({ hops: all }) => all[place]!.serialize_ms),
  }))
  const wall = wallOf(whole)
  const [stepMs, originMs, backMs] = [mean((s) => s.total_ms), mean((s) => s.origin_ms), mean((s) => s.back_ms)]
  const sum = parts.reduce((all, p) => all + p.wire_ms + p.queue_ms + p.compute_ms + p.serialize_ms, originMs + backMs)
  return {
    steps: whole.length,
    step_ms: stepMs,
    origin_ms: originMs,
    hops: parts,
    back_ms: backMs,
    explained: stepMs > 0 ? sum / stepMs : 0,
    bubbles: parts.map(({ compute_ms: compute }) => (wall > 0 ? Math.max(0, 1 - (compute * whole.length) / wall) : 0)),
    in_flight: { mean: 1 + mean(({ behind }) => behind), most: 1 + Math.max(...whole.map(({ behind }) => behind)) },
  }
}

/** Milliseconds in which any of these was under way: windows in flight share them. */
function wallOf(steps: readonly TraceStep[]): number {
  let [wall, end] = [0, -Infinity]
  for (const { begin_ms: begin, origin_ms: origin, total_ms: total } of steps) {
    const [from, to] = [Math.max(end, begin - origin), begin - origin + total]
    wall += Math.max(0, to - from)
    end = Math.max(end, to)
  }
  return wall
}
