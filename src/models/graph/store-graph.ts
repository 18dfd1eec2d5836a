/** An ONNX file turned into blobs and blocks, its cuts proven: a task of the child that opens model files. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  checkInChild,
  checkModel,
  factsOf,
  inlineFunctions,
  learnTypes,
  observer,
  OnnxSplitDiffersError,
  RangeSource,
  readModel,
  splitOnnx,
  writeModel,
} from '../../onnx/index.ts'
import type { Model, Optimization, SplitOnnxNeeds, SplitPlan, TensorValue } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { systemClock } from '../../util/index.ts'
import type { StoreFileEvents } from '../import/store-file.ts'
import { blockCosts, numberedBlocks } from './block-costs.ts'
import { inputsOf, licenseOf, plannedValue } from './ends.ts'
import type { GraphBlock, GraphManifest, GraphTensor } from './manifest.ts'
import { readGraphText } from '../readers/graph-text.ts'
import { recogniseText } from './recognise-text.ts'
import { fromSkeleton, lengthOf, toSkeleton, weightsOf } from './skeleton.ts'
import type { GraphText } from './text.ts'

/** JSON-safe. */
export interface StoreGraphJob {
  readonly onnx: string
  /** Folder of the tokenizer, if the graph may be one that reads text. */
  readonly text?: string
  /** Folder for what is only there for the proof; it is there. */
  readonly scratch: string
  readonly codeCache: string
}

export interface StoredGraph {
  readonly license: string
  readonly content: Pick<GraphManifest, 'graph' | 'text' | 'blocks' | 'boundary'>
}

/** Cuts that are proven at once: as many partitions as a mesh makes of a model, and each is a session to load. */
const PROVEN_PARTS = 8

/** @throws what reading and checking a file throw, DiskFullError, StoreUnwritableError */
export async function storeGraph(
  store: BlobStore,
  job: StoreGraphJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredGraph> {
  const folder = await mkdtemp(join(job.scratch, 'import-'))
  try {
    const model = await learnTypes(
      inlineFunctions(checkModel(await readModel(job.onnx))),
      observer(childCheck(job), folder, signal),
    )
    const weights = weightsOf(model)
    // Before the weights: a tokenizer that is none is not worth them.
    const text = await textOf(store, job, model, events)
    const tensors = await storeWeights(store, weights, events, signal)
    const path = join(folder, 'skeleton.onnx')
    await writeModel(toSkeleton(model, weights), path, { external: 'never' })
    const put = await store.put(await readFile(path), (address) => events.added(address))
    const skeleton: GraphTensor = { name: '', type: 'graph', shape: [], ...put }
    // As every peer will have it: the numbers of blocks are those of the model that comes of the skeleton.
    const restored = fromSkeleton(checkModel(await readModel(path)), tensors, ({ address }) => store.path(address))
    const facts = factsOf(restored)
    const blocks = numberedBlocks(restored, facts)
    const bytes = weights.reduce((sum, { data }) => sum + lengthOf(data), 0)
    const beat = (): void => events.progress(bytes, bytes)
    const plan = await proven(job, folder, blocks.starts.length - 1, beat, signal)
    return {
      license: licenseOf(model),
      content: {
        ...contentOf({ model: restored, facts, blocks, skeleton, tensors, plan }),
        ...(text === undefined ? {} : { text }),
      },
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws ModelFileError, UnsupportedModelError, TokenizerDataError */
async function textOf(
  store: BlobStore,
  job: StoreGraphJob,
  model: Model,
  events: StoreFileEvents,
): Promise<GraphText | undefined> {
  const ends = { inputs: inputsOf(model).map(plannedValue), outputs: model.graph.outputs.map(plannedValue) }
  const recognised = recogniseText(ends)
  if (recognised === null || job.text === undefined) return undefined
  const { text, tokenizer } = await readGraphText(job.text, recognised)
  const stored = await store.put(Buffer.from(JSON.stringify(tokenizer)), (address) => events.added(address))
  return { ...text, tokenizer: { address: stored.address, bytes: stored.bytes } }
}

async function storeWeights(
  store: BlobStore,
  weights: readonly TensorValue[],
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<readonly GraphTensor[]> {
  const source = new RangeSource()
  const total = weights.reduce((sum, { data }) => sum + lengthOf(data), 0)
  const tensors: GraphTensor[] = []
  let done = 0
  try {
    for (const { name, type, dims, data } of weights) {
      signal?.throwIfAborted()
      if (data.kind === 'strings') continue
      const bytes = data.kind === 'bytes' ? data.bytes : copies(source.pieces(data))
      const stored = await store.put(bytes, (address) => events.added(address))
      tensors.push({ name, type, shape: dims, ...stored })
      events.progress((done += stored.bytes), total)
    }
  } finally {
    await source.close()
  }
  return tensors
}

/** A piece of a range is overwritten by the next. */
async function* copies(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield piece.slice()
}

/** Far below the silence after which an import is ended: a check, which is watched by itself, says nothing meanwhile. */
const BEAT_MS = 10_000

function childCheck({ codeCache }: StoreGraphJob): Pick<SplitOnnxNeeds, 'check'> {
  return { check: (task, signal) => checkInChild({ clock: systemClock(), codeCache }, task, signal) }
}

/** Null: no cut gave the bits of the whole. */
async function proven(
  job: StoreGraphJob,
  folder: string,
  blocks: number,
  beat: () => void,
  signal?: AbortSignal,
): Promise<SplitPlan | null> {
  const needs = { clock: systemClock() }
  let cancel = needs.clock.after(BEAT_MS, again)
  function again(): void {
    beat()
    cancel = needs.clock.after(BEAT_MS, again)
  }
  try {
    return await splitOnnx(
      { clock: needs.clock, ...childCheck(job) },
      job.onnx,
      { out: folder, parts: Math.min(PROVEN_PARTS, blocks) },
      signal,
    )
  } catch (error) {
    if (error instanceof OnnxSplitDiffersError) return null
    throw error
  } finally {
    cancel()
  }
}

type Facts = ReturnType<typeof factsOf>
type Blocks = ReturnType<typeof numberedBlocks>

interface Content {
  readonly model: Model
  readonly facts: Facts
  readonly blocks: Blocks
  readonly skeleton: GraphTensor
  readonly tensors: readonly GraphTensor[]
  readonly plan: SplitPlan | null
}

function contentOf({ model, facts, blocks, skeleton, tensors, plan }: Content): StoredGraph['content'] {
  const optimization: Optimization = plan?.optimization ?? 'off'
  const known = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const isEqual = plan?.check?.kind === 'equal' && plan.blocks === blocks.starts.length - 1
  return {
    boundary: 'f32',
    graph: {
      inputs: inputsOf(model).map(plannedValue),
      outputs: model.graph.outputs.map(plannedValue),
      optimization,
      proven: isEqual ? plan.partitions.slice(1).map(({ blocks: [from] }) => from) : [],
      half_as_float: plan?.halfAsFloat ?? false,
    },
    blocks: blockCosts(model, facts, blocks).map(({ initializers, flops, boundaryBytes }): GraphBlock => {
      const own = [...initializers].flatMap((name) => known.get(name) ?? []).toSorted(byName)
      const bytes = own.reduce((sum, tensor) => sum + tensor.bytes, 0)
      return {
        kind: 'graph',
        tensors: [skeleton, ...own],
        bytes,
        memory: bytes,
        flops,
        kv_bytes: 0,
        boundary_bytes: boundaryBytes,
      }
    }),
  }
}

function byName(one: GraphTensor, other: GraphTensor): number {
  return one.name < other.name ? -1 : 1
}
