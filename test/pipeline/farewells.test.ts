/** Stages whose peers are about to leave, while the route changes. */
import { expect, it } from 'vitest'
import { Farewells } from '../../src/pipeline/origin/farewells.ts'

const [one, other] = [
  { peer: 'b', from: 1, to: 4 },
  { peer: 'c', from: 4, to: 7 },
]

it('two that leave at once are both handed over: the second anew, since the first has changed the route', () => {
  const tries: { readonly peer: string; readonly signal: AbortSignal }[] = []
  const stop = new AbortController()
  const farewells = new Farewells(stop.signal, ({ peer }, signal) => {
    tries.push({ peer, signal })
    return Promise.reject(new Error('nobody looks at it'))
  })
  const peers = (): string => tries.map(({ peer }) => peer).join(' ')
  // Before the route stands nobody can be fed.
  farewells.said(one)
  expect(peers()).toBe('')
  farewells.stands([one, other])
  farewells.said(other)
  farewells.said(other)
  expect(peers()).toBe('b c')
  farewells.moves()
  expect(tries.every(({ signal }) => signal.aborted)).toBe(true)
  const by = { peer: 'd', from: 1, to: 4 }
  farewells.stands([by, other])
  expect(peers()).toBe('b c c')
  expect(tries.at(-1)!.signal.aborted).toBe(false)
  farewells.moves()
  farewells.stands([by, { ...other, peer: 'e' }])
  expect(peers()).toBe('b c c')
  farewells.said(by)
  stop.abort()
  expect(tries.at(-1)!.signal.aborted).toBe(true)
})
