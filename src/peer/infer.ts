/** `weft infer` on a file: any ONNX model, in one process or several, beside a running peer or without. */
import { join, resolve } from 'node:path'
import { graphFile, isGraphManifest, loadManifests, ModelKindError } from '../models/index.ts'
import { GraphPipeline } from '../pipeline/index.ts'
import type { GraphRequest, Inference, OpenGraph, Tensors } from '../pipeline/index.ts'
import { createBlobStore } from '../store/index.ts'
import { systemClock } from '../util/index.ts'
import { ModelUnknownError } from './errors.ts'
import { homePaths, prepareHome } from './home.ts'
import type { HomePaths } from './home.ts'
import { isFile } from './split-file.ts'
import type { ProgressSink } from './types.ts'

export interface InferInit extends Omit<OpenGraph, 'path'>, GraphRequest {
  readonly home: string
  /** Path of an ONNX file, or a model of this home that was one. */
  readonly model: string
  readonly inputs: Tensors
}

/** A model of this home, as a file. @throws ModelUnknownError, ModelKindError */
async function imported(paths: HomePaths, model: string): Promise<string> {
  const { manifests } = await loadManifests(paths.partitions)
  const manifest = manifests.find((known) => known.model === model || known.digest === model)
  if (manifest === undefined) throw new ModelUnknownError(model, false)
  if (!isGraphManifest(manifest)) throw new ModelKindError(model, 'is a language model: weft run answers with it')
  return graphFile(await createBlobStore({ directory: paths.store }), manifest, join(paths.cache, 'graphs'))
}

const STEPS: readonly string[] = ['read', 'cut', 'write', 'check', 'load']

/** @throws ModelUnknownError, what reading and cutting throw, GraphInputError, GraphRequestError, EngineError's code */
export async function inferModel(
  init: InferInit,
  progress: ProgressSink = () => undefined,
  signal?: AbortSignal,
): Promise<Inference> {
  signal?.throwIfAborted()
  const { home, model, inputs } = init
  const paths = homePaths(home, process.env)
  const path = (await isFile(model)) ? resolve(model) : await imported(paths, model)
  await prepareHome(paths)
  const needs = {
    clock: systemClock(),
    cache: paths.cache,
    codeCache: join(paths.cache, 'code'),
    progress: (step: string) =>
      progress({
        type: 'progress',
        task: `preparing ${model}: ${step}`,
        done: STEPS.indexOf(step),
        total: STEPS.length,
        unit: 'steps',
      }),
  }
  const pipeline = await GraphPipeline.open(needs, { ...init, path }, signal)
  try {
    return await pipeline.infer(inputs, init, signal)
  } finally {
    await pipeline.close()
  }
}
