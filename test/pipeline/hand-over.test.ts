/** Who is asked to take over from a peer that leaves. */
import { expect, it } from 'vitest'
import { findSuccessor } from '../../src/pipeline/origin/hand-over.ts'

type Arguments = Parameters<typeof findSuccessor>

it('is anybody before the one that leaves, whom the mesh may still take for the readiest', async () => {
  const route = ['a', 'c', 'a'].map((peer, at) => ({ peer, from: at, to: at + 1 }))
  let asked: readonly string[] = []
  const failover: Pick<Arguments[1]['failover'], 'replace'> = {
    replace: (_, avoid) => {
      asked = [...avoid].toSorted()
      return Promise.resolve(undefined)
    },
  }
  const init = { failover } as Arguments[1]
  const following = { route, avoid: new Set(['b']), signal: new AbortController().signal } as unknown as Arguments[2]
  expect(await findSuccessor({} as Arguments[0], init, following, 1)).toBeUndefined()
  expect(asked).toEqual(['b', 'c'])
})
