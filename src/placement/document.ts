/** `weft.plan/1`: the plan as the command line and the API give it. docs/placement.md describes each field. */
import { adviceFor } from './advice.ts'
import { BATCH_CURVE, batchFactor } from './curve.ts'
import { planPlacement } from './plan.ts'
import { runnersUp } from './runners-up.ts'
import { applyWhatIf } from './what-if.ts'
import type { PeerNames } from './what-if.ts'
import type { Objective, Plan, PlanInput, PlanTerm, PlanUnit, Prediction, Stage } from './types.ts'

export interface PlanDocument {
  readonly schema: 'weft.plan/1'
  readonly model: string
  readonly objective: Objective
  /** Of a graph: what is said of tokens is of its runs. */
  readonly unit?: PlanUnit
  readonly context: number
  readonly concurrency: number
  readonly origin: string
  readonly what_if: readonly string[]
  /** Of peers by id, where they have a name beside it. */
  readonly names: Readonly<Record<string, string>>
  readonly verdict: Plan['verdict']
  readonly why: readonly string[]
  readonly stages: readonly Stage[]
  readonly replicas: readonly Stage[]
  /** Those that hold something, with what they hold. */
  readonly peers: readonly PlanDocumentPeer[]
  readonly need_bytes: number
  readonly have_bytes: number
  /** Null when nothing fits. */
  readonly prediction: PlanDocumentPrediction | null
  readonly runners_up: readonly PlanDocumentRunner[]
  /** With `--explain`. */
  readonly terms?: readonly PlanDocumentTerm[]
  readonly bounds?: readonly { readonly bound: PlanTerm['bound']; readonly ms: number; readonly share: number }[]
  readonly advice?: readonly { readonly change: string; readonly factor: number }[]
  /** Of a step of one session; null: nothing was measured, or it is of no account for what was asked. */
  readonly speculation?: { readonly tokens_per_step: number; readonly rows_per_step: number } | null
  /** Of peers that hold something, where several sessions go: what a row of each takes there at once, whether the plan counts on it or not. */
  readonly batches?: readonly PlanDocumentBatch[]
}

/** A run of so many rows takes so many times as long as one of a single row. */
export interface PlanDocumentBatch {
  readonly peer: string
  readonly rows: number
  /** As is usual. */
  readonly predicted_factor: number
  /** As it is there, which is what the plan counts with; null where it was not seen. */
  readonly measured_factor: number | null
}

export interface PlanDocumentPeer {
  readonly peer: string
  readonly name: string
  readonly blocks: number
  readonly bytes: number
  readonly kv_bytes: number
  readonly free_bytes: number
}

export interface PlanDocumentPrediction {
  readonly ms_per_token: number
  /** Of one session. */
  readonly tokens_per_second: number
  readonly first_token_ms: number
  readonly prompt_tokens: number
  readonly throughput: {
    readonly sessions: number
    readonly tokens_per_second: number
    readonly batch_rows: number
    readonly bottleneck: Prediction['bottleneck']
  }
  /** Every speed in it was measured or given; else peers without one count as average. */
  readonly measured: boolean
}

export interface PlanDocumentRunner {
  readonly peers: readonly string[]
  readonly stages: readonly Stage[]
  readonly ms_per_token: number
  readonly first_token_ms: number
  readonly tokens_per_second: number
  readonly factor: number
  readonly why_not: string
}

export interface PlanDocumentTerm extends Omit<PlanTerm, 'ms'> {
  readonly predicted_ms: number
  /** What was measured of the placement that runs; null where none does. */
  readonly measured_ms: number | null
}

/** Of a peer that computes (the blocks of a stage; none: the ends at the origin), or of a hop. */
export type MeasuredTerm = Pick<PlanTerm, 'peer' | 'to' | 'blocks' | 'ms'>

export interface PlanAsked {
  readonly model: string
  readonly input: PlanInput
  readonly names?: PeerNames
  readonly whatIf?: readonly string[]
  readonly explain?: boolean
  /** What was measured of the placement that runs; terms that it has as the plan has them are told beside these. */
  readonly measured?: readonly MeasuredTerm[]
}

/** @throws PlanInputError, WhatIfError */
export function planDocument(asked: PlanAsked): PlanDocument {
  const { model, names = new Map<string, string>(), whatIf = [], explain = false, measured = [] } = asked
  const input = applyWhatIf(asked.input, whatIf, names)
  const plan = planPlacement(input)
  const { objective, context, concurrency, origin, unit } = input
  return {
    schema: 'weft.plan/1',
    model,
    objective,
    ...(unit === undefined ? {} : { unit }),
    context,
    concurrency,
    origin,
    what_if: whatIf,
    names: Object.fromEntries(names),
    verdict: plan.verdict,
    why: plan.why,
    stages: plan.stages,
    replicas: plan.replicas,
    peers: peersOf(input, plan, names),
    need_bytes: plan.needBytes,
    have_bytes: plan.haveBytes,
    prediction: plan.prediction === null ? null : predictionOf(plan, plan.prediction),
    runners_up: runnersUp(input, plan).map(({ peers, stages, prediction, factor, whyNot }) => ({
      peers,
      stages,
      ms_per_token: prediction.msPerToken,
      first_token_ms: prediction.firstTokenMs,
      tokens_per_second: prediction.tokensPerSecond,
      factor,
      why_not: whyNot,
    })),
    ...(explain && plan.prediction !== null ? explanationOf(input, plan, plan.prediction, measured) : {}),
  }
}

function peersOf(input: PlanInput, { perPeer }: Plan, names: PeerNames): PlanDocumentPeer[] {
  return perPeer.map(({ peer, blocks, bytes, kvBytes }) => {
    const { memory, reserved } = input.peers.find(({ id }) => id === peer)!
    const free = memory - reserved - bytes - kvBytes
    return { peer, name: names.get(peer) ?? peer, blocks, bytes, kv_bytes: kvBytes, free_bytes: free }
  })
}

function predictionOf(plan: Plan, prediction: Prediction): PlanDocumentPrediction {
  const { msPerToken, firstTokenMs, promptTokens, sessions, tokensPerSecond, batchRows, bottleneck } = prediction
  return {
    ms_per_token: msPerToken,
    tokens_per_second: msPerToken > 0 ? 1000 / msPerToken : 0,
    first_token_ms: firstTokenMs,
    prompt_tokens: promptTokens,
    throughput: { sessions, tokens_per_second: tokensPerSecond, batch_rows: batchRows, bottleneck },
    measured: plan.msPerToken !== null,
  }
}

/** Whether they are of the same stage, or of the same way. */
export function isSameTerm(one: Omit<MeasuredTerm, 'ms'>, other: Omit<MeasuredTerm, 'ms'>): boolean {
  const [from, to] = other.blocks ?? []
  return one.peer === other.peer && one.to === other.to && one.blocks?.[0] === from && one.blocks?.[1] === to
}

type Explained = Required<Pick<PlanDocument, 'terms' | 'bounds' | 'advice' | 'batches' | 'speculation'>>

function explanationOf(
  input: PlanInput,
  plan: Plan,
  { terms, msPerToken, sessions }: Prediction,
  measured: NonNullable<PlanAsked['measured']>,
): Explained {
  const sums = new Map<PlanTerm['bound'], number>()
  for (const { bound, ms } of terms) sums.set(bound, (sums.get(bound) ?? 0) + ms)
  return {
    terms: terms.map(({ ms, ...term }) => {
      const known = measured.find((one) => isSameTerm(one, term))
      return { ...term, predicted_ms: ms, measured_ms: known?.ms ?? null }
    }),
    bounds: [...sums]
      .map(([bound, ms]) => ({ bound, ms, share: msPerToken > 0 ? ms / msPerToken : 0 }))
      .sort((left, right) => right.ms - left.ms),
    advice: adviceFor(input, plan),
    speculation: speculationOf(input),
    batches: sessions > 1 ? batchesOf(input, plan, sessions) : [],
  }
}

function speculationOf({ guessing }: PlanInput): NonNullable<PlanDocument['speculation']> | null {
  return guessing === undefined ? null : { tokens_per_step: guessing.tokens, rows_per_step: guessing.rows }
}

function batchesOf(input: PlanInput, { perPeer }: Plan, rows: number): PlanDocumentBatch[] {
  const usual = input.batchCurve ?? BATCH_CURVE
  return perPeer.map(({ peer }) => {
    const curve = input.peers.find(({ id }) => id === peer)?.batchCurve
    const measured = curve === undefined ? null : batchFactor(curve, rows)
    return { peer, rows, predicted_factor: batchFactor(usual, rows), measured_factor: measured }
  })
}
