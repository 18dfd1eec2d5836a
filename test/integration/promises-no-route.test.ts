/** A lost peer whose blocks nobody can take: what the error of the answer itself says of when it was lost and given up. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { answer, codeOf, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

describe.runIf(isLong)('a peer that is lost, with nobody who could take its blocks', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    // Too little memory for more than embedding and head: nobody but b can hold the layers.
    ;[a, b] = await Promise.all([lab.start('a', ['--memory', '8MB']), lab.start('b')])
    await joined([a, b])
    await b.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await until('a knows the model', async () =>
      (await a.access.status()).peers.some((peer) => peer.models.includes('tiny')),
    )
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 7],
      [a, 7, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
  }, 180_000)
  afterAll(() => lab.stop())

  it('is known at once, by the account of the answer, which ends by its deadline with a code and the tokens so far', async () => {
    const request = greedy('tiny', 160, { speculate: 'off', deadline: 15_000 })
    const expected = await answer(b, greedy('tiny', 160, { placement: 'local' }))
    const ended = await answer(a, request, (count) => count === 20 && b.child.kill('SIGKILL'))
    expect(codeOf(ended.error)).toBe('WEFT-INF-033')
    const { details } = ended.error as { details: { seconds: number; silent_ms: number } }
    expect(details).toMatchObject({ peer: b.id, from: 1, to: 7 })
    // From the last token to the end are the time in which the loss was seen and that in which somebody was looked for.
    const seen = details.silent_ms - 1_000 * details.seconds
    expect(seen).toBeGreaterThanOrEqual(-50)
    expect(seen).toBeLessThan(1_000)
    expect(details.seconds).toBeLessThan(15)
    expect(ended.waited).toBe(true)
    expect(ended.ids.length).toBeGreaterThanOrEqual(20)
    expect(ended.ids.length).toBeLessThan(160)
    expect(ended.ids).toEqual(expected.ids.slice(0, ended.ids.length))
    expect((await a.access.status()).requests).toEqual([])
  })
})
