/** What a peer counts of rows that came to nothing, and of those that its stage host computed for it. */
import { expect, it } from 'vitest'
import { frame } from '../../../src/net/index.ts'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import { opened, rowsFrames, settled, stageRing } from '../support/ring.ts'

const TOLD = ['rows', 'void_rows', 'batched_rows'] as const

it('rows that were dropped where they waited count as void alone, those that nothing was chosen behind as computed, too', async () => {
  const { host, counted, stranger } = stageRing()
  const origin = await stranger('origin')
  await origin.open({ sampler: null })
  const [local = 0] = opened(host)
  const rows = rowsFrames()
  await origin.say(rows(0, 4))
  await origin.say(rows(4, 3))
  const counts = (): readonly number[] => TOLD.map((name) => counted.get(name) ?? 0)
  host.say(frame({ type: HOST.void, request: local, position: 4, rows: 3, flags: RUN.dropped | RUN.batched }))
  await settled()
  expect(counts()).toEqual([0, 3, 0])
  host.say(frame({ type: HOST.void, request: local, position: 4, rows: 3, flags: RUN.batched }))
  await settled()
  expect(counts()).toEqual([3, 6, 3])
  host.say(frame({ type: HOST.taken, request: local, position: 0, rows: 4 }))
  await settled()
  expect(counts()).toEqual([7, 6, 3])
})
