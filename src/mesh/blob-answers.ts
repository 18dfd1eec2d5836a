/** What this peer answers to a question about blobs: bytes from the store, or why not. */
import type { ModelManifest } from '../models/index.ts'
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { BlobQuestion, Refusal } from './blob-wire.ts'
import { MAX_HASH_BYTES } from './limits.ts'

export interface AnswerNeeds {
  readonly store: BlobStore
  /** The manifest of a model that this peer has. */
  readonly loadManifest: (digest: string) => Promise<ModelManifest | undefined>
  /** Blobs that others may have; not every blob in the store is for everybody. */
  readonly serves: (address: string) => boolean
}

export type Answer = { readonly content: Uint8Array; /** Of a blob's chunks. */ readonly last: boolean } | Refusal

export async function answerQuestion(needs: AnswerNeeds, question: BlobQuestion): Promise<Answer> {
  const { store } = needs
  if (question.kind === 'manifest') {
    const manifest = await needs.loadManifest(question.digest)
    return manifest === undefined ? missing('no such manifest') : whole(Buffer.from(JSON.stringify(manifest)))
  }
  const { address } = question
  if (!needs.serves(address) || !(await store.has(address))) return missing('no such blob')
  const size = await store.size(address)
  if (question.kind === 'hashes') {
    if (size !== question.bytes) return missing(`the blob has ${size} bytes`)
    if (chunkCount(size) * 32 > MAX_HASH_BYTES) return missing('the blob is too large to be served')
    return whole(await store.chunkHashes(address))
  }
  if (question.index >= chunkCount(size)) return missing(`the blob has ${chunkCount(size)} chunks`)
  const offset = question.index * CHUNK_BYTES
  const length = Math.min(CHUNK_BYTES, size - offset)
  return { content: await store.read(address, offset, length), last: offset + length === size }
}

function whole(content: Uint8Array): Answer {
  return { content, last: false }
}

function missing(why: string): Refusal {
  return { reason: 'missing', why }
}
