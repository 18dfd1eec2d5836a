/** The stages of a peer: their tensors from its library, their files in its home. */
import { languageModel } from '../models/index.ts'
import { Stages } from '../pipeline/index.ts'
import type { StagesNeeds } from '../pipeline/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'

export function stagesOf(
  parts: Parts,
  library: Library,
  memory: number,
  events: Pick<StagesNeeds, 'adapter' | 'changed' | 'lost' | 'others'>,
): Stages {
  const { clock, threads, paths, telemetry, needs } = parts
  return new Stages({
    clock,
    runHost: needs.runHost,
    threads,
    memory,
    storeDirectory: paths.store,
    cacheDirectory: paths.cache,
    model: async (digest) => {
      const manifest = languageModel(await library.resolve(digest))
      return { manifest, path: library.path(manifest) }
    },
    text: async (manifest) => void (await library.tokenizer(manifest)),
    fetch: (manifest, from, to, signal) => library.fetch(manifest, from, to, signal),
    count: (counter, by) => telemetry.count(counter as 'stage_restarts', by),
    loaded: (model, milliseconds) => telemetry.observe('stage_load', milliseconds / 1000, { model }),
    ...events,
  })
}
