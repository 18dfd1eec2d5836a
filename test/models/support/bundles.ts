/** A bundle taken apart and put together again, bent as a test wants it. */
import { createHash } from 'node:crypto'
import { planBlocks, makeBlock } from '../../../src/models/blocks.ts'
import { hashesLength } from '../../../src/models/bundle/layout.ts'
import { manifestDigest } from '../../../src/models/index.ts'
import type { ModelManifest } from '../../../src/models/index.ts'
import { addressOfHashes, chunkCount } from '../../../src/store/index.ts'
import { padded, tarHeader } from '../../../src/models/bundle/tar-header.ts'

export interface BundlePart {
  readonly name: string
  readonly content: Uint8Array
  /** In place of the header that it should have. */
  readonly header?: Uint8Array
}

export function partsOf(bundle: Uint8Array): BundlePart[] {
  const parts: BundlePart[] = []
  for (let at = 0; bundle[at] !== 0;) {
    const text = (from: number, to: number): string =>
      Buffer.from(bundle.subarray(at + from, at + to))
        .toString('latin1')
        .replace(/\0.*$/s, '')
    const size = Number.parseInt(text(124, 136), 8)
    parts.push({ name: text(0, 100), content: bundle.slice(at + 512, at + 512 + size) })
    at += 512 + padded(size)
  }
  return parts
}

export function bundleOf(parts: readonly BundlePart[], end: Uint8Array = new Uint8Array(1024)): Uint8Array {
  const pieces = parts.flatMap(({ name, content, header }) => [
    header ?? tarHeader(name, content.length),
    content,
    new Uint8Array(padded(content.length) - content.length),
  ])
  return Buffer.concat([...pieces, end])
}

/** A header with other bytes at some places, and the sum that belongs to them. */
export function bentHeader(name: string, size: number, changes: Readonly<Record<number, string>>): Uint8Array {
  const header = Buffer.from(tarHeader(name, size))
  for (const [at, text] of Object.entries(changes)) header.write(text, Number(at), 'latin1')
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest())
}

export interface LargeModel {
  readonly manifest: ModelManifest
  readonly blobs: ReadonlyMap<string, { readonly size: number; readonly hashes: Uint8Array | null }>
  /** Bytes of the largest tensor. */
  readonly most: number
}

/** A model of one layer, all zeros, with an embedding of 10 GiB: nothing of it is ever written. */
export function largeModel(like: ModelManifest): LargeModel {
  const width = 10_240
  const vocabulary = 262_144
  const heads = { heads: 80, kv_heads: 8, head_dim: 128, rope_dim: 128, rope_factors: [] }
  const shape = { ...like.shape, ...heads, width, vocabulary, hidden: 1024, layers: 1 }
  const blobs = new Map<string, { size: number; hashes: Uint8Array | null }>()
  const blocks = planBlocks(shape, true).map((plan) => {
    const tensors = plan.tensors.map(({ name, shape: sizes }) => {
      const bytes = 4 * sizes.reduce((product, size) => product * size, 1)
      return { name, type: 'F32' as const, shape: sizes, bytes, address: addressOfZeros(bytes, blobs) }
    })
    return makeBlock(plan.kind, tensors, 'auto', shape)
  })
  const tokenizer = { address: addressOfZeros(100, blobs), bytes: 100 }
  const content = { shape, boundary: like.boundary, tokenizer, blocks }
  const most = 4 * width * vocabulary
  return { manifest: { ...like, ...content, digest: manifestDigest(content) }, blobs, most }
}

function addressOfZeros(size: number, blobs: Map<string, { size: number; hashes: Uint8Array | null }>): string {
  const hashes = new Uint8Array(chunkCount(size) * 32)
  const full = sha256(new Uint8Array(1 << 20))
  for (let index = 0; index < chunkCount(size); index++) hashes.set(full, index * 32)
  const rest = size % (1 << 20)
  if (rest > 0) hashes.set(sha256(new Uint8Array(rest)), hashes.length - 32)
  const address = addressOfHashes(hashes)
  blobs.set(address, { size, hashes: hashesLength(size) > 0 ? hashes : null })
  return address
}
