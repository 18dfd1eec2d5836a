/**
 * An engine whose graphs each run in a child process: what a peer computes for a run of its own, evaluation and updates, must not hold
 * up its answers to others, who would take it for frozen. Values go through shared memory where there is some; the bits are the same.
 */
import type { AnyTensor, Engine, Graph, LoadOptions, Tensor } from '../../onnx/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { startGraphHost } from '../graph/host/graph-host.ts'
import type { GraphHostNeeds } from '../graph/host/graph-host.ts'

/** A run over all rows of a part at once takes long, and nobody but its own peer has asked for it. */
const PATIENCE = { firstMs: 600_000, slowdown: 64 }

export function hostedEngine(needs: Pick<GraphHostNeeds, 'clock' | 'codeCache' | 'runHost'>): Engine {
  const { kernelId, attention } = createOrtEngine()
  return {
    kernelId,
    attention,
    async load(path, options): Promise<Graph> {
      const host = startGraphHost({ ...needs, patience: PATIENCE })
      try {
        await host.load({ path, ...loadOf(options) })
      } catch (error) {
        await host.stop()
        throw error
      }
      const run = async (
        feeds: Readonly<Record<string, AnyTensor>>,
        fetch: readonly string[],
      ): Promise<Readonly<Record<string, AnyTensor>>> => {
        const { outputs } = await host.run({ session: 0, fetch, kept: [], feeds: new Map(Object.entries(feeds)) })
        return Object.fromEntries([...outputs].map(([name, tensor]) => [name, ownOf(tensor)]))
      }
      return {
        run: async (feeds, fetch) => (await run(feeds, fetch)) as Readonly<Record<string, Tensor>>,
        runAny: run,
        release: () => host.stop(),
      }
    },
  }
}

/** Outputs are the caller's, who may free each by itself: of a message they are views of the same bytes. */
function ownOf(tensor: AnyTensor): AnyTensor {
  if (tensor.type === 'string' || tensor.data.byteLength === tensor.data.buffer.byteLength) return tensor
  return { ...tensor, data: tensor.data.slice() }
}

function loadOf({ threads, optimization = 'off' }: LoadOptions): {
  threads: number
  optimization: NonNullable<LoadOptions['optimization']>
} {
  return { threads, optimization }
}
