/** Graphs of a run, written to its folder for work and loaded into the engine. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeModel } from '../../onnx/index.ts'
import type { Engine, Graph, LoadOptions, Model, Tensor } from '../../onnx/index.ts'

export interface SessionNeeds {
  readonly engine: Engine
  /** Of this run alone. */
  readonly folder: string
  readonly options: LoadOptions
}

export interface Session {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>
  close(): Promise<void>
}

/** @throws EngineError, DiskFullError, StoreUnwritableError */
export async function openSession(needs: SessionNeeds, name: string, model: Model): Promise<Session> {
  const path = join(needs.folder, `${name}.onnx`)
  const { files } = await writeModel(model, path)
  let graph: Graph
  try {
    graph = await needs.engine.load(path, needs.options)
  } finally {
    for (const file of files) await rm(file.path, { force: true })
  }
  const inputs = model.graph.inputs.map(({ name }) => name)
  const outputs = model.graph.outputs.map(({ name }) => name)
  return {
    run: (feeds) => graph.run(Object.fromEntries(inputs.map((input) => [input, feeds[input]!])), outputs),
    close: () => graph.release(),
  }
}

export function scalarTensor(value: number): Tensor {
  return { type: 'float32', dims: [], data: Float32Array.of(value) }
}
