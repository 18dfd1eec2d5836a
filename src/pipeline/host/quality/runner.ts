/** Runs trial blocks: a graph that was loaded once serves all blocks that differ in their weights alone. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrialBlock } from '../../../models/index.ts'
import type { Engine, Graph, LoadOptions } from '../../../onnx/index.ts'

export class TrialRunner {
  readonly #engine: Engine
  readonly #options: LoadOptions
  readonly #directory: string
  readonly #graphs = new Map<string, Promise<Graph>>()

  constructor(engine: Engine, options: LoadOptions, directory: string) {
    this.#engine = engine
    this.#options = options
    this.#directory = directory
  }

  /** @param x [rows, width] */
  async run(block: TrialBlock, x: Float32Array, width: number): Promise<Float32Array> {
    const rows = x.length / width
    const graph = await this.#graph(block.graph)
    const feeds = { ...block.feeds(rows), x: { type: 'float32', dims: [rows, width], data: x } as const }
    return (await graph.run(feeds, [block.output]))[block.output]!.data as Float32Array
  }

  #graph(bytes: Uint8Array): Promise<Graph> {
    const key = createHash('sha256').update(bytes).digest('hex')
    const known = this.#graphs.get(key)
    if (known !== undefined) return known
    const path = join(this.#directory, `${key}.onnx`)
    const loading = writeFile(path, bytes).then(() => this.#engine.load(path, this.#options))
    this.#graphs.set(key, loading)
    return loading
  }
}
