/** The tokenizer of a model in a mesh home, whether a peer runs there or not; nothing is made or changed. */
import { loadManifests, tokenizerOf } from '../models/index.ts'
import type { TokenizerDefinition } from '../models/index.ts'
import { createBlobStore } from '../store/index.ts'
import { homePaths } from './home.ts'

/** By name or digest; null where the home does not know the model. @throws BlobMissingError */
export async function readTokenizer(home: string, model: string): Promise<TokenizerDefinition | null> {
  const paths = homePaths(home, process.env)
  const { manifests } = await loadManifests(paths.partitions)
  const manifest = manifests.find((one) => one.model === model || one.digest === model)
  if (manifest === undefined) return null
  const store = await createBlobStore({ directory: paths.store })
  const bytes = await store.readAll(tokenizerOf(manifest).address)
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as TokenizerDefinition
}
