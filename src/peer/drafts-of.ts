/** The draft models of a peer: found in its library, loaded from its store, within its memory. */
import { languageModel } from '../models/index.ts'
import { DraftHosts } from '../pipeline/index.ts'
import type { DraftHostsNeeds } from '../pipeline/index.ts'
import { Drafts } from './drafts.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'

export function draftsOf(
  { clock, logger, needs, paths, store, telemetry, threads }: Parts,
  library: Library,
  around: Pick<DraftHostsNeeds, 'memory' | 'taken'>,
): Drafts {
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
    ...around,
  })
  return new Drafts({ clock, library, store, hosts, log: (fields, text) => logger.warn(fields, text) })
}
