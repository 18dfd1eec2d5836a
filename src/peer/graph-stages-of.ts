/** The parts of ONNX graphs that a peer serves: their blobs from its library, their files in its home. */
import { join } from 'node:path'
import { GraphStages } from '../pipeline/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'
import type { Placing } from './placing.ts'

export interface GraphStagesAround {
  readonly memory: number
  /** Bytes that others have taken. What they only keep they give back, down to `most`. */
  taken(most: number): number
  placing(): Placing | undefined
  changed(): void
}

export function graphStagesOf(
  { clock, logger, paths, telemetry, threads }: Parts,
  library: Library,
  around: GraphStagesAround,
): GraphStages {
  return new GraphStages({
    clock,
    cache: paths.cache,
    codeCache: join(paths.cache, 'code'),
    storeDirectory: paths.store,
    threads,
    parts: join(paths.state, 'graph-parts'),
    memory: around.memory,
    taken: (most) => around.taken(most),
    fetch: async (digest, blobs) => library.fetchSome(await library.resolve(digest), blobs),
    count: (counter, by) => telemetry.count(counter as 'bytes_sent', by),
    model: (digest) => {
      const manifest = library.byDigest(digest)
      return manifest === undefined ? undefined : { model: manifest.model, blocks: manifest.blocks.length }
    },
    placedBy: (digest, blocks) => around.placing()?.giver(digest, blocks),
    failed: (digest, error) => {
      logger.error({ digest, err: error }, 'a part of the placement could not be loaded')
    },
    changed: () => around.changed(),
  })
}
