/** The tokens of a model as the grammar engine reads them: out of the tokenizer that lies beside the weights. */
import { byteText, createTokenizer } from '../../../models/index.ts'
import type { ModelManifest, TokenizerDefinition } from '../../../models/index.ts'
import { createBlobStore } from '../../../store/index.ts'
import type { GrammarVocabulary } from './grammars.ts'

/** @throws BlobMissingError where the tokenizer is not in the store, TokenizerDefinitionError */
export async function readVocabulary(
  storeDirectory: string,
  { tokenizer: blob, shape }: Pick<ModelManifest, 'tokenizer' | 'shape'>,
): Promise<GrammarVocabulary> {
  const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
  const text = Buffer.from(await store.readAll(blob.address)).toString('utf8')
  const tokenizer = createTokenizer(JSON.parse(text) as TokenizerDefinition)
  const count = Math.min(tokenizer.vocabulary, shape.vocabulary)
  const tokens = Array.from({ length: count }, (_, id) => byteText(tokenizer.bytes(id)))
  return { logits: shape.vocabulary, tokens, endTokens: [...tokenizer.endTokens].filter((id) => id < count) }
}
