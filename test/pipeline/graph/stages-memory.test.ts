/** What the parts of graphs may take beside other stages, and which models they use: nothing is started here. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { GraphStages, MemoryQuotaError } from '../../../src/pipeline/index.ts'
import type { FlowOpen } from '../../../src/pipeline/graph/mesh/protocol.ts'
import { systemClock } from '../../../src/util/index.ts'

const MEMORY = 100
const DIGEST = 'a'.repeat(64)
const ADDRESS = 'bafkreicnmonnfh26ynzdjgub6af62biams7hvmltvbjdqmj5ux6h6bbbxq'
const none = join(tmpdir(), 'weft-no-such-folder')

const open: FlowOpen = {
  digest: DIGEST,
  blocks: [0, 1],
  route: ['here'],
  routes: { first: [], later: [], sends: [], last: [], kept: [] },
  sources: [],
  weights: [['w', 'float32', [10], 40, ADDRESS]],
  optimization: 'off',
  units: 1,
  deadline: 1_000,
}

it('is what other stages leave of the quota, and is given back', async () => {
  let taken = MEMORY - 40
  const fetching = Promise.withResolvers<void>()
  fetching.promise.catch(() => undefined)
  const stages = new GraphStages({
    clock: systemClock(),
    cache: none,
    codeCache: none,
    storeDirectory: none,
    parts: none,
    threads: 1,
    memory: MEMORY,
    taken: () => taken,
    fetch: () => fetching.promise,
    count: () => undefined,
    model: () => undefined,
    placedBy: () => undefined,
    changed: () => undefined,
    failed: () => undefined,
  })
  const skeleton = new Uint8Array(1)
  await expect(stages.open(open, skeleton, 'origin')).rejects.toMatchObject({ code: MemoryQuotaError.info.code })
  expect([stages.bytes, stages.digests()]).toEqual([0, []])
  taken--
  const opening = stages.open(open, skeleton, 'origin')
  // While it is fetched, its model is in use, also where no manifest of it is here to be listed by.
  expect([stages.bytes, stages.digests(), stages.list()]).toEqual([41, [DIGEST], []])
  expect(stages.giveBack(0)).toBe(41)
  fetching.reject(new Error('no peer has it'))
  await expect(opening).rejects.toThrow('no peer has it')
  expect([stages.bytes, stages.digests()]).toEqual([0, []])
  await stages.stop()
})
