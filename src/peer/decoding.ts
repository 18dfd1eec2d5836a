/** Text from a decoder that was an ONNX file: where its parts run, and sessions over them. */
import { decoderLayout, ModelKindError } from '../models/index.ts'
import type { DecoderLayout, GraphManifest } from '../models/index.ts'
import type { Optimization } from '../onnx/index.ts'
import { openDecoding, openSurviving } from '../pipeline/index.ts'
import type { GenerateNeeds, GenerateRequest, SessionRequest } from '../pipeline/index.ts'
import { placesOf } from './graph-parts.ts'
import type { GraphPlaces } from './graph-parts.ts'
import type { InferMeshNeeds } from './infer-mesh.ts'
import type { KeptParts } from './kept-parts.ts'
import { isLoss, MOST_LOSSES, withoutLost } from './survivors.ts'

export interface DecodingNeeds extends InferMeshNeeds {
  readonly keptParts: KeptParts
}

/** What generates, whatever it was imported from. */
export type Decoder = Pick<GenerateNeeds, 'context' | 'chunkRows' | 'firstContext' | 'open' | 'outgrown' | 'virtual'>

/** Logits of all rows of a step are made, whatever is read of them. */
const LOGITS_BYTES = 2 ** 28
const MOST_ROWS = 2_048
/** Where the graph does not tell its vocabulary. */
const LARGE_VOCABULARY = 262_144

/** @throws DecoderInputsError with what a decoder lacks, ModelKindError for what is none, what placing, cutting and peers throw */
export async function graphDecoder(
  needs: DecodingNeeds,
  manifest: GraphManifest,
  placement: GenerateRequest['placement'],
  signal: AbortSignal,
): Promise<Decoder> {
  const { context, layout } = decoderOf(manifest)
  const places = placesFor(needs, manifest, placement)
  const at = { manifest, layout, chunkRows: rowsOf(manifest, layout) }
  // What cannot be placed or cut is told before anything is opened.
  await partsAt(needs, manifest, places, signal)
  return {
    context,
    chunkRows: at.chunkRows,
    open: (session) => openSurviving(survivingNeeds(needs, at, places, session)),
  }
}

/** Its parts go home with the loss of their peer, and the generation begins there again; the cut stays, and with it the bits. */
function survivingNeeds(
  needs: DecodingNeeds,
  { manifest, layout, chunkRows }: { manifest: GraphManifest; layout: DecoderLayout; chunkRows: number },
  first: GraphPlaces,
  session: SessionRequest,
): Parameters<typeof openSurviving>[0] {
  const { clock, count } = needs
  // However often it begins again.
  const whole = { since: clock.now(), ...session }
  let [places, losses] = [first, 0]
  return {
    count,
    open: async (replay) => {
      const { parts, optimization } = await partsAt(needs, manifest, places, session.signal)
      const init = { digest: manifest.digest, parts, optimization, layout, chunkRows }
      return openDecoding(needs, { ...init, session: whole, replay })
    },
    relocate: (error) => {
      if (losses++ >= MOST_LOSSES || !isLoss(error)) throw error
      const before = places.peers
      places = { ...places, peers: withoutLost(needs, places, error).peers }
      return [...new Set(before.filter((peer, part) => peer !== places.peers[part]))]
    },
  }
}

function partsAt(
  needs: DecodingNeeds,
  manifest: GraphManifest,
  places: GraphPlaces,
  signal: AbortSignal,
): ReturnType<KeptParts['of']> {
  const level = places.parts === 1 ? levelFor(manifest) : {}
  return needs.keptParts.of(manifest, { ...places, ...level }, signal)
}

/** @throws DecoderInputsError, ModelKindError */
function decoderOf(manifest: GraphManifest): { readonly context: number; readonly layout: DecoderLayout } {
  const { graph, model, text } = manifest
  if (text?.kind === 'encoder') throw new ModelKindError(model, 'is an encoder, which gives vectors and no text')
  const layout = decoderLayout(graph.inputs, graph.outputs)
  if (layout === null) throw new ModelKindError(model, 'is no language model: weft infer runs it')
  if (text === undefined) throw new ModelKindError(model, 'is a decoder without a tokenizer: import its folder')
  return { context: text.context, layout }
}

/** One process computes at the level at which the import proved that parts give the same bits. */
function levelFor({ graph }: GraphManifest): { readonly optimization?: Optimization } {
  return graph.proven.length === 0 ? {} : { optimization: graph.optimization }
}

/** The same wherever the parts run: a prompt in other pieces may give other bits. */
function rowsOf({ graph }: GraphManifest, layout: DecoderLayout): number {
  if (layout.inputs.some(({ role }) => role === 'kept_logits')) return MOST_ROWS
  const vocabulary = graph.outputs.find(({ name }) => name === layout.logits)?.shape?.at(-1)
  const width = typeof vocabulary === 'number' && vocabulary > 0 ? vocabulary : LARGE_VOCABULARY
  return Math.max(1, Math.min(MOST_ROWS, Math.floor(LOGITS_BYTES / (4 * width))))
}

/** One process of this peer, where nobody has said otherwise: each cut costs a message a token. */
function placesFor(
  { self, placing }: DecodingNeeds,
  manifest: GraphManifest,
  placement: GenerateRequest['placement'],
): GraphPlaces {
  const standing = placement === 'local' ? undefined : placing.standing(manifest)
  const stages = typeof placement === 'object' ? placement.stages : standing
  if (stages === undefined) return { peers: [self], parts: 1 }
  placing.check(manifest, stages)
  return placesOf(stages, self)
}
