/** What this peer answers to a question about blobs: bytes from the store, or why not. */
import type { AnyManifest } from '../models/index.ts'
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { BlobQuestion, BlobVersion, Refusal } from './blob-wire.ts'
import { encodeHaveMaps, someChunks } from './have-map.ts'
import type { HaveMap } from './have-map.ts'
import { MAX_HASH_BYTES } from './limits.ts'

export interface AnswerNeeds {
  readonly store: BlobStore
  /** The manifest of a model that this peer has. */
  readonly loadManifest: (digest: string) => Promise<AnyManifest | undefined>
  /** Why the asking peer may not have a manifest; undefined: it may, where there is one. */
  readonly whyNot: (digest: string) => string | undefined
  /** Blobs that others may have; not every blob in the store is for everybody. */
  readonly serves: (address: string) => boolean
  /** A chunk of this store is not what it was; the blob has become an interrupted transfer. */
  readonly rotten: (address: string, index: number) => void
  /** Promises not to drop this blob for a while: another peer is about to. False when this one is about to as well. */
  readonly promise: (address: string) => boolean
}

export const NO_MANIFEST = 'no such manifest'

export type Answer = { readonly content: Uint8Array; /** Of a blob's chunks. */ readonly last: boolean } | Refusal

export async function answerQuestion(
  needs: AnswerNeeds,
  question: BlobQuestion,
  version: BlobVersion,
): Promise<Answer> {
  const { store } = needs
  if (question.kind === 'manifest') {
    const why = needs.whyNot(question.digest)
    const manifest = why === undefined ? await needs.loadManifest(question.digest) : undefined
    return manifest === undefined ? missing(why ?? NO_MANIFEST) : whole(Buffer.from(JSON.stringify(manifest)))
  }
  if (question.kind === 'have') return whole(await haveMaps(needs, question.blobs))
  if (question.kind === 'keep') return whole(await promises(needs, question.blobs))
  const { address } = question
  if (!needs.serves(address)) return missing('no such blob')
  if (!(await store.has(address))) return version === 1 ? missing('no such blob') : partAnswer(needs, question)
  const size = await store.size(address)
  if (question.kind === 'hashes') {
    if (size !== question.bytes) return missing(`the blob has ${size} bytes`)
    if (chunkCount(size) * 32 > MAX_HASH_BYTES) return missing('the blob is too large to be served')
    return whole(await store.chunkHashes(address))
  }
  if (question.index >= chunkCount(size)) return missing(`the blob has ${chunkCount(size)} chunks`)
  if (question.kind === 'check') return whole(Uint8Array.of(await checkChunk(needs, address, question.index)))
  const offset = question.index * CHUNK_BYTES
  const length = Math.min(CHUNK_BYTES, size - offset)
  return { content: await store.read(address, offset, length), last: offset + length === size }
}

async function haveMaps(
  { serves, store }: AnswerNeeds,
  blobs: (BlobQuestion & { readonly kind: 'have' })['blobs'],
): Promise<Uint8Array> {
  const maps: HaveMap[] = []
  for (const [address, bytes] of blobs) {
    if (!serves(address)) maps.push({ kind: 'none' })
    else if (await store.has(address)) maps.push({ kind: (await store.size(address)) === bytes ? 'all' : 'none' })
    else {
      const part = store.partial(address)
      maps.push(part?.bytes === bytes ? someChunks(bytes, part.has) : { kind: 'none' })
    }
  }
  return encodeHaveMaps(maps)
}

async function promises(
  { promise, serves, store }: AnswerNeeds,
  blobs: (BlobQuestion & { readonly kind: 'keep' })['blobs'],
): Promise<Uint8Array> {
  const kept: number[] = []
  for (const [address, bytes] of blobs) {
    const isHere = serves(address) && (await store.has(address)) && (await store.size(address)) === bytes
    kept.push(isHere && promise(address) ? 1 : 0)
  }
  return Uint8Array.from(kept)
}

/** Of a blob that is still on its way here. */
async function partAnswer(
  { store }: AnswerNeeds,
  question: BlobQuestion & { readonly kind: 'hashes' | 'chunk' | 'check' },
): Promise<Answer> {
  const part = store.partial(question.address)
  if (part === undefined || question.kind === 'check') return missing('no such blob')
  if (question.kind === 'hashes') {
    return part.bytes === question.bytes ? whole(part.hashes) : missing(`the blob has ${part.bytes} bytes`)
  }
  const content = await part.read(question.index)
  return content === undefined ? missing('the chunk is not here yet') : whole(content)
}

/** 1 when the chunk is what its hash says. Who complains wrongly costs us a read, as for any chunk. */
async function checkChunk({ store, rotten }: AnswerNeeds, address: string, index: number): Promise<0 | 1> {
  if (await store.isChunkSound(address, index)) return 1
  await store.reopen(address)
  rotten(address, index)
  return 0
}

function whole(content: Uint8Array): Answer {
  return { content, last: false }
}

function missing(why: string): Refusal {
  return { reason: 'missing', why }
}
