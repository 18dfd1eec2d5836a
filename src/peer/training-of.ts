/** What a peer computes for training runs, its own and others': hosts and the protocol between peers. */
import { join } from 'node:path'
import { languageModel } from '../models/index.ts'
import type { Network } from '../net/index.ts'
import { GradientHosts, GradientService, TrainHosts, TrainService } from '../pipeline/index.ts'
import type { SiteGate } from '../pipeline/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'

export interface TrainingParts {
  /** What membership and site are asked where a session begins. */
  readonly gates: SiteGate
  readonly library: Library
  readonly network: Network | null
  /** Bytes that others take. What they only keep they give back, down to `most`. */
  readonly taken: (most: number) => number
}

export interface TrainingOf {
  readonly hosts: TrainHosts
  readonly service: TrainService
  /** Of shares of steps. */
  readonly sharing: GradientService
  /** All that hear of peers that are lost, and of another policy. */
  readonly services: readonly [TrainService, GradientService]
  stop(): Promise<void>
}

export function trainingOf(
  { clock, identity, paths, profiling, site, telemetry, threads }: Parts,
  { gates, library, network, taken }: TrainingParts,
  undo: (() => unknown)[],
): TrainingOf {
  const count = (counter: string, by?: number): void => telemetry.count(counter as 'training_sessions', by)
  const hosts = new TrainHosts({
    clock,
    codeCache: join(paths.cache, 'code'),
    storeDirectory: paths.store,
    threads,
    memory: profiling.hardware(library.list()).memory_quota,
    taken,
    model: async (digest) => {
      const manifest = languageModel(await library.resolve(digest))
      return { manifest, path: library.path(manifest) }
    },
    fetch: (manifest, from, to) => library.fetch(manifest, from, to),
    count,
  })
  const service = new TrainService({ ...gates, self: identity.id, network, clock, hosts, count })
  const gradientHosts = new GradientHosts({
    clock,
    codeCache: join(paths.cache, 'code'),
    threads,
    memory: profiling.hardware(library.list()).memory_quota,
    taken,
    count,
  })
  const sharing = new GradientService({
    ...gates,
    self: identity.id,
    network,
    clock,
    hosts: gradientHosts,
    // Examples are data of this site, whatever becomes of them there.
    permitData: (peer, data) => site.admit({ action: 'data', peer, data }),
    count,
  })
  telemetry.gauge('training_sessions_open', () => service.open)
  telemetry.gauge('training_session_bytes', () => hosts.held)
  const stop = async (): Promise<void> => {
    await service.stop()
    await sharing.stop()
    await hosts.stop()
    await gradientHosts.stop()
  }
  undo.push(stop)
  return { hosts, service, sharing, services: [service, sharing], stop }
}
