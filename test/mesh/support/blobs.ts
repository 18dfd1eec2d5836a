/** Blobs that travel between peers of a test. */
import { expect } from 'vitest'
import type { FetchOptions } from '../../../src/mesh/index.ts'
import type { TestPeer, World } from './make-mesh.ts'
import { seededRandom } from './seeded-random.ts'

/** Bytes that are no repetition, made quickly. */
export function content(seed: number, bytes: number): Uint8Array {
  const block = seededRandom(seed).bytes(4096)
  const result = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += block.length) {
    result.set(block.subarray(0, Math.min(block.length, bytes - at)), at)
    block[at % 4096] = (block[at % 4096]! + 1) & 255
  }
  return result
}

export interface Blob {
  readonly address: string
  readonly bytes: number
}

export async function put(content: Uint8Array, ...peers: readonly TestPeer[]): Promise<Blob> {
  let blob: Blob | undefined
  for (const { store } of peers) blob = await store.put(content)
  return blob!
}

/** Lets virtual time pass until the promise has settled, ten times as fast as real time: the disk is a real one. */
export async function pump<Result>(world: World, promise: Promise<Result>, step = 20): Promise<Result> {
  const settled = { is: false }
  const settle = (): void => void (settled.is = true)
  promise.then(settle, settle)
  while (!settled.is) {
    await new Promise((resolve) => setTimeout(resolve, 2))
    await world.clock.advance(step)
  }
  return promise
}

export async function expectContent(peer: TestPeer, { address, bytes }: Blob, seed: number): Promise<void> {
  expect(Buffer.compare(await peer.store.readAll(address), content(seed, bytes))).toBe(0)
}

export const fetched = (peer: TestPeer): number => peer.counters.get('blob_bytes_received') ?? 0
export const served = (peer: TestPeer): number => peer.counters.get('blob_bytes_served') ?? 0

export async function three(world: World): Promise<[TestPeer, TestPeer, TestPeer]> {
  const peers: [TestPeer, TestPeer, TestPeer] = [await world.peer(), await world.peer(), await world.peer()]
  world.hub.connectAll()
  return peers
}

export function fetchInto(
  peer: TestPeer,
  blobs: Blob[],
  holders: TestPeer[],
  options: FetchOptions = {},
): Promise<void> {
  return peer.mesh.fetchTensors(
    blobs,
    holders.map(({ id }) => id),
    options,
  )
}
