/**
 * What a peer has of a model that it serves a part of: on its disk the tensors of its own blocks, in the memory of its stage host
 * the weights of its own blocks, and nothing of the others, also after answers.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { isAddress } from '../../src/store/index.ts'
import { answer, createLab, greedy, hostOf, ringOfTiny } from './support.ts'
import type { Lab, RealPeer, Ring } from './support.ts'

/** Names of what is there, without folders and without what begins with a dot. */
function namesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
}

/** Names of the files of this home, weights among them, that a process has in its memory. */
function mappedBy(pid: number, home: string): string[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  const paths = lines.map((line) => line.slice(Math.max(0, line.indexOf('/')))).filter((path) => path.startsWith(home))
  return [...new Set(paths.map((path) => basename(path)))].toSorted()
}

describe.skipIf(process.platform !== 'linux')('a peer with a part of a model (skipped: reads /proc)', () => {
  let lab: Lab
  let ring: Ring
  let manifest: ModelManifest

  beforeAll(async () => {
    lab = await createLab()
    ring = await ringOfTiny(lab)
    for (let time = 0; time < 2; time++) expect((await answer(ring.a, greedy('tiny', 8))).ids).toHaveLength(8)
    manifest = (await ring.a.access.manifest('tiny')) as ModelManifest
  }, 180_000)
  afterAll(() => lab.stop())

  it.each([
    ['b', 1, 4],
    ['c', 4, 7],
  ] as const)('%s of the blocks [%d, %d) alone', async (name, from, to) => {
    const peer: RealPeer = ring[name]
    const own = manifest.blocks.slice(from, to).flatMap(({ tensors }) => tensors)
    const blobs = namesIn(join(peer.home, 'store', 'blobs')).filter((file) => isAddress(file))
    expect(blobs.toSorted()).toEqual([...new Set(own.map(({ address }) => address))].toSorted())
    // Beside its blocks the tables of the positions, which are the same for all of them.
    const weights = [...Array.from({ length: to - from }, (_, at) => `block-${from + at}.weights`), 'rotary.weights']
    const cached = namesIn(join(peer.home, 'cache')).filter((file) => file.endsWith('.weights'))
    expect(cached.toSorted()).toEqual(weights)
    expect(mappedBy(await hostOf(ring.a, peer), peer.home)).toEqual(weights)
  })

  it('the origin, which was told to keep embedding and head, has the weights of no layer in memory', async () => {
    const mapped = mappedBy(await hostOf(ring.a, ring.a), ring.a.home)
    expect(mapped.filter((file) => /^block-[1-6]\./.test(file))).toEqual([])
  })
})
