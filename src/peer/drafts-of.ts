/** The draft models of a peer: found in its library, loaded from its store, within its memory. */
import { languageModel } from '../models/index.ts'
import { DraftHosts } from '../pipeline/index.ts'
import type { DraftHostsNeeds, Stages } from '../pipeline/index.ts'
import { Drafts } from './drafts.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'

export function draftsOf(
  { clock, identity, init, logger, needs, paths, store, telemetry, threads }: Parts,
  library: Library,
  around: Pick<DraftHostsNeeds, 'memory' | 'taken'> & { readonly stages: Stages },
): Drafts {
  const { memory, stages } = around
  const hosts = new DraftHosts({
    clock,
    runHost: needs.runHost,
    threads,
    storeDirectory: paths.store,
    cacheDirectory: paths.cache,
    model: async (digest) => {
      const manifest = languageModel(await library.resolve(digest))
      return { manifest, path: library.path(manifest) }
    },
    // All of it is here, or it would not have been chosen.
    fetch: () => Promise.resolve(),
    count: (counter, by) => telemetry.count(counter as 'stage_restarts', by),
    lost: (model, error) => logger.error({ model, err: error }, 'the host of a draft model was lost'),
    memory,
    taken: () => around.taken(),
  })
  return new Drafts({
    self: identity.id,
    clock,
    library,
    store,
    hosts,
    usual: init.draft,
    loaded: (digest) => stages.weights - stages.weightsBeside(digest),
    log: (fields, text) => logger.warn(fields, text),
  })
}
