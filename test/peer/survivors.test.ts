/** A part of a run whose peer has no memory for it goes on at the peer that was asked, as one that was lost does. */
import { expect, it } from 'vitest'
import { errorData } from '../../src/errors.ts'
import { withSurvivors } from '../../src/peer/survivors.ts'
import { MemoryQuotaError, StageMemoryError } from '../../src/pipeline/errors.ts'
import { RemoteError } from '../../src/pipeline/ring/remote-error.ts'

const PLACES = { peers: ['self', 'b', 'c'], parts: 3 }

function needs(): { readonly counted: Record<string, number>; readonly of: Parameters<typeof withSurvivors>[0] } {
  const counted: Record<string, number> = {}
  const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
  return { counted, of: { self: 'self', isReachable: () => true, count } }
}

const short = new StageMemoryError('m', 'the kernel ended it for lack of memory', 3, 600_000)

it('is told from who says so', async () => {
  const { of, counted } = needs()
  const seen: (readonly string[])[] = []
  const { moved } = await withSurvivors(of, PLACES, ({ peers }) => {
    seen.push(peers)
    return peers.includes('b') ? Promise.reject(new RemoteError('b', errorData(short))) : Promise.resolve('done')
  })
  expect(seen).toEqual([PLACES.peers, ['self', 'self', 'c']])
  expect([moved, counted]).toEqual([1, { failovers: 1, retries: 1 }])
})

it('is none where it is this one that has no memory, nor where a part was never begun', async () => {
  for (const error of [short, new RemoteError('b', errorData(new MemoryQuotaError('m', 2, 1)))])
    await expect(withSurvivors(needs().of, PLACES, () => Promise.reject(error))).rejects.toBe(error)
})
