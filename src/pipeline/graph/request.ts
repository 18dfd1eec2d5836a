/** One request on named tensors, wherever its parts are computed: cut into units, run, joined, and told how. */
import type { Balance, Optimization, Wire } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { agrees, BatchProofs, chooseBatching, sampleOf } from './batching.ts'
import type { Batching } from './batching.ts'
import type { FlowUnits } from './flow/origin.ts'
import type { KeptPair } from './host/protocol.ts'
import { checkEnds } from './inputs.ts'
import type { Prepared } from './prepare/prepare.ts'
import type { Tensors } from './tensors.ts'
import { frameUnits, wholeUnits } from './units.ts'
import type { Units } from './units.ts'

export interface GraphRequest {
  /** An output, and the input that takes it in the next frame. */
  readonly carries?: readonly KeptPair[] | undefined
  /** Axis along which inputs hold frames; 0 where they have an axis more than the model takes. */
  readonly frames?: number | undefined
  /** Rows of a micro-batch; 0: the whole batch at once. */
  readonly microBatch?: number | undefined
}

export interface RequestStats {
  readonly units: number
  readonly kind: Units['kind']
  readonly micro_batch: number | null
  /** Why a batch was not cut; null where it was. */
  readonly whole_because: string | null
  /** Cutting the batch gave the same bits on a sample; null where none was taken. */
  readonly batch_equal: boolean | null
  /** As what float32 went from part to part: with `f16` the outputs are not those of the whole. */
  readonly wire: Wire
  readonly verdict: string | null
  readonly why: string | null
  /** How evenly it is cut; null where it is not. */
  readonly balance: Balance | null
  /** Of a graph that is not split: the best that can be had, null where nothing can. */
  readonly best: Balance | null
  readonly run_ms: number
  readonly counters: {
    readonly frames: number
    readonly micro_batches: number
    readonly preparations: number
    readonly preparations_reused: number
    readonly batch_proofs_reused: number
  }
}

export interface RequestContext {
  readonly clock: Clock
  readonly prepared: Prepared
  readonly optimization: Optimization
  /** What else decides the bits of a batch: threads, or the peers that compute. */
  readonly where: string
  /** Runs units through the parts. */
  flow(units: FlowUnits, carries: readonly KeptPair[]): Promise<readonly Tensors[]>
}

interface Done {
  readonly units: Units
  readonly outputs: Tensors
  readonly batching?: Batching
  readonly whole?: string
  readonly equal?: boolean | null
  readonly known?: boolean
}

const CHANGES_BITS = 'a sample in micro-batches did not give the same bits'

/** @throws GraphInputError, GraphRequestError, GraphOutputError, what the flow throws */
export async function runRequest(
  context: RequestContext,
  inputs: Tensors,
  request: GraphRequest,
): Promise<{ readonly outputs: Tensors; readonly stats: RequestStats }> {
  const { graph } = context.prepared
  const { carries = [], frames, microBatch } = request
  checkEnds(graph.inputs, graph.outputs)
  const started = context.clock.now()
  let done: Done
  if (carries.length > 0 || frames !== undefined) {
    const units = frameUnits(graph, inputs, { carries, axis: frames })
    done = { units, outputs: units.join(await context.flow(units, carries)), whole: 'frames are run one by one' }
  } else done = await runBatch(context, inputs, microBatch)
  const stats = statsOf(context, done, context.clock.now() - started)
  return { outputs: ordered(done.outputs, graph.outputs), stats }
}

async function runBatch(context: RequestContext, inputs: Tensors, size: number | undefined): Promise<Done> {
  const { graph, folder } = context.prepared
  const whole = async (why: string, equal: boolean | null): Promise<Done> => {
    const units = wholeUnits(graph, inputs)
    return { units, outputs: units.join(await context.flow(units, [])), whole: why, equal }
  }
  const chosen = chooseBatching(graph, inputs, graph.parts.length, size)
  if (typeof chosen === 'string') return whole(chosen, null)
  const proofs = new BatchProofs(folder)
  const key = [chosen.size, chosen.rows % chosen.size, context.where, context.optimization].join('/')
  const known = await proofs.known(key)
  if (known === false && !chosen.asked) return whole(CHANGES_BITS, false)
  const results = await context.flow(chosen.units, [])
  const equal = known ?? (await prove(context, proofs, key, chosen, inputs, results))
  if (equal === false && !chosen.asked) return whole(CHANGES_BITS, false)
  return {
    units: chosen.units,
    outputs: chosen.units.join(results),
    batching: chosen,
    equal,
    known: known !== undefined,
  }
}

async function prove(
  context: RequestContext,
  proofs: BatchProofs,
  key: string,
  chosen: Batching,
  inputs: Tensors,
  results: readonly Tensors[],
): Promise<boolean | null> {
  // A model with one size of batch takes no larger sample.
  if (typeof context.prepared.graph.batch === 'string') return null
  const [sample] = await context.flow({ count: 1, feeds: () => sampleOf(chosen, inputs) }, [])
  const equal = agrees(chosen, sample!, results)
  await proofs.note(key, equal)
  return equal
}

function statsOf({ prepared }: RequestContext, done: Done, runMs: number): RequestStats {
  const { graph, reused } = prepared
  const { units, batching, whole, equal, known } = done
  return {
    units: units.count,
    kind: units.kind,
    micro_batch: batching?.size ?? null,
    whole_because: whole ?? null,
    batch_equal: equal ?? null,
    wire: graph.wire ?? 'f32',
    verdict: graph.verdict ?? null,
    why: graph.why ?? null,
    balance: graph.balance ?? null,
    best: graph.best ?? null,
    run_ms: runMs,
    counters: {
      frames: units.kind === 'frames' ? units.count : 0,
      micro_batches: units.kind === 'micro-batches' ? units.count : 0,
      preparations: reused ? 0 : 1,
      preparations_reused: reused ? 1 : 0,
      batch_proofs_reused: known === true ? 1 : 0,
    },
  }
}

/** As the model lists them. */
function ordered(outputs: Tensors, declared: readonly { readonly name: string }[]): Tensors {
  return new Map(declared.flatMap(({ name }) => (outputs.has(name) ? [[name, outputs.get(name)!] as const] : [])))
}
