/** Which of the holders that are asked has which chunk, and how many have it: what is rare is fetched first. */
import { chunkCount } from '../store/index.ts'
import { hasChunk } from './have-map.ts'
import type { HaveMap } from './have-map.ts'
import type { BlobRequest } from './types.ts'

type Bits = Uint8Array

export class Availability {
  readonly #sizes: ReadonlyMap<string, number>
  /** Holders a chunk, by address. */
  readonly #counts = new Map<string, Uint16Array>()
  /** A byte a chunk, by address, of each holder. */
  readonly #holders = new Map<string, Map<string, Bits>>()
  /** Peers whose transfer of the blob is under way. */
  readonly #growing = new Map<string, Set<string>>()
  /** Of the rarest chunk that anybody has; forgotten when a map changes. */
  readonly #rarity = new Map<string, number>()

  constructor(blobs: readonly BlobRequest[]) {
    this.#sizes = new Map(blobs.map(({ address, bytes }) => [address, Math.max(1, chunkCount(bytes))]))
  }

  /** Of a holder that cannot say what it has: everything, until it says otherwise. */
  assumeAll(peer: string): void {
    for (const address of this.#sizes.keys()) this.learn(peer, address, { kind: 'all' })
  }

  learn(peer: string, address: string, map: HaveMap): void {
    const growing = this.#growing.get(address) ?? new Set()
    if (map.kind === 'some') growing.add(peer)
    else growing.delete(peer)
    this.#growing.set(address, growing)
    this.#change(peer, address, (index) => hasChunk(map, index))
  }

  lacksBlob(peer: string, address: string): void {
    this.learn(peer, address, { kind: 'none' })
  }

  lacksChunk(peer: string, address: string, index: number): void {
    const bits = this.#holders.get(peer)?.get(address)
    this.#change(peer, address, (at) => at !== index && bits?.[at] === 1)
  }

  /** It is not asked any more. */
  drop(peer: string): void {
    for (const address of this.#holders.get(peer)?.keys() ?? []) this.lacksBlob(peer, address)
    this.#holders.delete(peer)
  }

  has(peer: string, address: string, index: number): boolean {
    return this.#holders.get(peer)?.get(address)?.[index] === 1
  }

  /** Has it any chunk of the blob? */
  hasAny(peer: string, address: string): boolean {
    return this.#holders.get(peer)?.get(address)?.includes(1) === true
  }

  hasAll(peer: string, address: string): boolean {
    return this.#holders.get(peer)?.get(address)?.includes(0) === false
  }

  isGrowing(peer: string, address: string): boolean {
    return this.#growing.get(address)?.has(peer) === true
  }

  /** Holders that have the chunk. */
  count(address: string, index: number): number {
    return this.#counts.get(address)?.[index] ?? 0
  }

  /** Holders of the blob's rarest chunk, of those that anybody has; Infinity where nobody has any. */
  rarity(address: string): number {
    const known = this.#rarity.get(address)
    if (known !== undefined) return known
    let least = Infinity
    for (const count of this.#counts.get(address) ?? []) if (count > 0 && count < least) least = count
    this.#rarity.set(address, least)
    return least
  }

  #change(peer: string, address: string, has: (index: number) => boolean): void {
    const size = this.#sizes.get(address)
    if (size === undefined) return
    const counts = this.#counts.get(address) ?? new Uint16Array(size)
    const held = this.#holders.get(peer) ?? new Map<string, Bits>()
    const bits = held.get(address) ?? new Uint8Array(size)
    for (let index = 0; index < size; index++) {
      const now = has(index) ? 1 : 0
      counts[index]! += now - bits[index]!
      bits[index] = now
    }
    this.#counts.set(address, counts)
    this.#holders.set(peer, held.set(address, bits))
    this.#rarity.delete(address)
  }
}
