/** A plan over the peers of the mesh as they are now, beside what was measured of the placement that runs. */
import type { Mesh } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { planDocument } from '../placement/index.ts'
import type { MeasuredTerm, PlanDocument } from '../placement/index.ts'
import type { Library } from './library.ts'
import type { Placing } from './placing.ts'
import type { PlanRequest } from './plan-input.ts'
import type { RequestTrace, Traces } from './traces.ts'

export interface ExplainedPlanNeeds {
  readonly self: string
  readonly name: string
  readonly library: Library
  readonly placing: Placing
  readonly mesh: Mesh | null
  readonly traces: Traces
}

export async function explainedPlan(
  needs: ExplainedPlanNeeds,
  model: string,
  request: PlanRequest,
  signal?: AbortSignal,
): Promise<PlanDocument> {
  const { self, name, library, placing, mesh, traces } = needs
  const manifest = await library.resolve(model, signal)
  const { whatIf = [], explain = false, ...wishes } = request
  const names = new Map([[self, name], ...(mesh?.peers() ?? []).map((peer) => [peer.id, peer.name] as const)])
  const trace = explain ? traces.lastOf(model, manifest.model) : undefined
  const measured = trace === undefined ? [] : measuredTerms(trace, self, manifest)
  return planDocument({ model, input: placing.question(manifest, wishes), names, whatIf, explain, measured })
}

/**
 * The means of the steps of an answer, as a plan divides a token: what a stage had a row for, the wait in its host included; a
 * hop with the checksums and sockets at its end. A stage that holds an end and decoder blocks too is no term of a plan.
 */
export function measuredTerms(
  { hops, decode, dropped, steps }: Pick<RequestTrace, 'hops' | 'decode' | 'dropped' | 'steps'>,
  self: string,
  { blocks }: Pick<AnyManifest, 'blocks'>,
): MeasuredTerm[] {
  if (decode === null) return []
  const isDecoder = (index: number): boolean => blocks[index]?.kind === 'decoder'
  const terms: MeasuredTerm[] = []
  // What the origin takes from a token to the next step is no more the network's than its head is.
  let ends = decode.origin_ms
  let endsAlone = true
  let at = self
  for (const [place, { peer, from, to }] of hops.entries()) {
    const { wire_ms: wire, queue_ms: queue, compute_ms: compute, serialize_ms: serialize } = decode.hops[place]!
    if (peer !== at) terms.push({ peer: at, to: peer, ms: wire + serialize })
    at = peer
    const inner = Array.from({ length: to - from }, (_, index) => isDecoder(from + index))
    if (inner.every(Boolean)) terms.push({ peer, blocks: [from, to], ms: queue + compute })
    else if (peer === self && !inner.some(Boolean)) ends += queue + compute
    else endsAlone = false
  }
  if (at !== self) terms.push({ peer: at, to: self, ms: decode.back_ms })
  if (endsAlone) terms.push({ peer: self, ms: ends })
  const each = tokensOf(dropped > 0 ? [] : steps)
  return terms.map((term) => ({ ...term, ms: term.ms / each }))
}

/** Of a step of decoding, with the guesses that came true: a plan's terms are those of a token. */
function tokensOf(all: RequestTrace['steps']): number {
  const positions = all.filter(({ phase }) => phase === 'decode').map(({ position }) => position)
  const [first, last] = [Math.min(...positions), Math.max(...positions)]
  return positions.length < 2 ? 1 : Math.max(1, (last - first) / (positions.length - 1))
}
