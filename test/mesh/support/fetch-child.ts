/**
 * A process of its own that fetches blobs into a store over the real network, and prints its counters as it goes on:
 * what a test kills. Arguments: a JSON object.
 */
import { createMesh } from '../../../src/mesh/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { newIdentity } from '../../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { network as startNetwork } from '../../net/helpers.ts'

export interface FetchChildJob {
  readonly directory: string
  readonly bootstrap: readonly string[]
  readonly blobs: readonly { readonly address: string; readonly bytes: number }[]
  readonly holders: readonly string[]
}

const job = JSON.parse(process.argv[2]!) as FetchChildJob
const [clock, random, identity] = [systemClock(), systemRandom(), newIdentity()]
const network = await startNetwork({ identity, bootstrap: job.bootstrap })
const counters: Record<string, number> = {}
const mesh = createMesh({
  network,
  identity,
  clock,
  random,
  store: await createBlobStore({ directory: job.directory }),
  logger: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  telemetry: { count: (name, by = 1) => void (counters[name] = (counters[name] ?? 0) + by) },
  files: { read: () => Promise.resolve(undefined), write: () => Promise.resolve() },
  loadManifest: () => Promise.resolve(undefined),
})
await mesh.start()
const say = (type: string): void => void process.stdout.write(`${JSON.stringify({ type, counters })}\n`)
while (network.connected().length < job.holders.length) await clock.sleep(20)
await mesh.fetchTensors(job.blobs, job.holders, { onProgress: () => say('progress') })
say('end')
await mesh.stop()
await network.stop()
process.exit(0)
