/** The tokenizer of a model from the store, or first from the mesh. */
import { createTokenizer, damagedBlobs, tokenizerOf } from '../models/index.ts'
import type { AnyManifest, Tokenizer, TokenizerDefinition } from '../models/index.ts'
import type { LibraryNeeds } from './library.ts'

/** @throws ModelKindError for a graph that reads no text, what fetching throws, TokenizerDefinitionError */
export async function loadTokenizer(
  { count, fetchBlobs, store }: Pick<LibraryNeeds, 'count' | 'fetchBlobs' | 'store'>,
  manifest: AnyManifest,
  signal?: AbortSignal,
): Promise<Tokenizer> {
  const blob = tokenizerOf(manifest)
  const { address } = blob
  for (const damaged of await damagedBlobs(store, [address], signal)) {
    count('blobs_damaged')
    await store.remove(damaged)
  }
  if (!(await store.has(address))) await fetchBlobs(manifest, [blob], signal)
  const text = Buffer.from(await store.readAll(address)).toString('utf8')
  return createTokenizer(JSON.parse(text) as TokenizerDefinition)
}
