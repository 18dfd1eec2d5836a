/** Final norm and projection for chosen rows of several sessions at once. */
import type { Engine, LoadOptions, Tensor } from '../../onnx/index.ts'
import type { BoundaryType, DecoderShape } from '../../models/index.ts'
import type { Clock } from '../../util/index.ts'
import { loadEager } from './eager-graph.ts'
import { sameBits, trialRow } from './one-row.ts'

export interface HeadStage {
  /** Logits [vocabulary] of each row. */
  run(rows: readonly Uint8Array[]): Promise<Float32Array[]>
  /** A row that is alone goes through once (decoder-stage.ts). */
  readonly oneRow: boolean
  release(): Promise<void>
}

export interface HeadStageInit {
  readonly engine: Engine
  /** Without one it is not measured how many threads a step should have and whether they spin: all, that sleep. */
  readonly clock?: Clock
  readonly options: LoadOptions
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
  readonly graph: string
}

export async function createHeadStage(init: HeadStageInit): Promise<HeadStage> {
  const { shape } = init
  const graph = await loadEager(init.engine, init.clock, init.graph, init.options)
  const compute = async (rows: readonly Uint8Array[], least: number): Promise<Readonly<Record<string, Tensor>>> =>
    graph.run({ x: input(init, rows, Math.max(rows.length, least)) }, ['logits'])
  const oneRow = await triedOneRow(init, compute)
  return {
    oneRow,
    async run(rows) {
      const { logits } = await compute(rows, oneRow ? 1 : 2)
      const data = logits!.data as Float32Array
      return rows.map((_, row) => data.subarray(row * shape.vocabulary, (row + 1) * shape.vocabulary))
    },
    release: () => graph.release(),
  }
}

async function triedOneRow(
  { shape, boundary }: HeadStageInit,
  compute: (rows: readonly Uint8Array[], least: number) => Promise<Readonly<Record<string, Tensor>>>,
): Promise<boolean> {
  const row = trialRow(shape.width, boundary, 1)
  return sameBits(await compute([row], 1), await compute([row], 2))
}

/** The last row is given again until there are `count`. */
function input({ shape, boundary }: HeadStageInit, rows: readonly Uint8Array[], count: number): Tensor {
  const rowBytes = shape.width * (boundary === 'f16' ? 2 : 4)
  const bytes = new Uint8Array(count * rowBytes)
  for (let row = 0; row < count; row++) bytes.set(rows[Math.min(row, rows.length - 1)]!, row * rowBytes)
  const dims = [count, shape.width]
  if (boundary === 'f16') return { type: 'float16', dims, data: new Uint16Array(bytes.buffer) }
  return { type: 'float32', dims, data: new Float32Array(bytes.buffer) }
}
