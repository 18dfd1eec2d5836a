/** An engine whose host says when a graph is being loaded: that takes far longer than a row, in the middle of serving too. */
import type { Engine } from '../../onnx/index.ts'

/** @param told true before a load, false behind it */
export function tellingEngine(engine: Engine, told: (isLoading: boolean) => void): Engine {
  return {
    ...engine,
    async load(path, options) {
      told(true)
      try {
        return await engine.load(path, options)
      } finally {
        told(false)
      }
    },
  }
}
