/** Final norm and projection for chosen rows of several sessions at once. */
import type { Engine, LoadOptions } from '../../onnx/index.ts'
import type { BoundaryType, LlamaShape } from '../../models/index.ts'

export interface HeadStage {
  /** Logits [vocabulary] of each row. */
  run(rows: readonly Uint8Array[]): Promise<Float32Array[]>
  release(): Promise<void>
}

export interface HeadStageInit {
  readonly engine: Engine
  readonly options: LoadOptions
  readonly shape: LlamaShape
  readonly boundary: BoundaryType
  readonly graph: string
}

export async function createHeadStage(init: HeadStageInit): Promise<HeadStage> {
  const { shape, boundary } = init
  const graph = await init.engine.load(init.graph, init.options)
  return {
    async run(rows) {
      // A row alone takes another path in some kernels: it is given twice (DESIGN decision 3).
      const count = Math.max(rows.length, 2)
      const rowBytes = shape.width * (boundary === 'f16' ? 2 : 4)
      const bytes = new Uint8Array(count * rowBytes)
      for (let row = 0; row < count; row++) bytes.set(rows[Math.min(row, rows.length - 1)]!, row * rowBytes)
      const dims = [count, shape.width]
      const x =
        boundary === 'f16'
          ? ({ type: 'float16', dims, data: new Uint16Array(bytes.buffer) } as const)
          : ({ type: 'float32', dims, data: new Float32Array(bytes.buffer) } as const)
      const { logits } = await graph.run({ x }, ['logits'])
      const data = logits!.data as Float32Array
      return rows.map((_, row) => data.subarray(row * shape.vocabulary, (row + 1) * shape.vocabulary))
    },
    release: () => graph.release(),
  }
}
