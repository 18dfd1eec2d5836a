/** Work on named arrays under an alias: by which model it is answered, and what is told of it. */
import { describe, expect, test } from 'vitest'
import { UnexpectedError } from '../../src/errors.ts'
import { ModelKindError } from '../../src/models/index.ts'
import { ModelUnknownError } from '../../src/peer/errors.ts'
import type { InferRequest } from '../../src/peer/infer-mesh.ts'
import { underAlias } from '../../src/peer/rollouts/graph-answer.ts'
import type { Picked } from '../../src/peer/rollouts/picked.ts'
import { systemRandom } from '../../src/util/index.ts'

interface Asked {
  readonly answer: Promise<string>
  readonly ran: (readonly [model: string, parts: number | undefined])[]
  readonly told: boolean[]
}

/**
 * @param all what is picked, one after the other, the last one again and again
 * @param failing models whose runs end with an error
 */
function ask(
  all: Omit<Picked, 'ended'> | undefined | readonly Omit<Picked, 'ended'>[],
  failing: Readonly<Record<string, Error>> = {},
  request: InferRequest = {},
  signal: AbortSignal = new AbortController().signal,
): Asked {
  const [ran, told]: [Asked['ran'], boolean[]] = [[], []]
  const left = [all].flat()
  const pick = (): Picked | undefined => {
    const picked = left.length > 1 ? left.shift() : left[0]
    return picked && { ...picked, ended: (isFailed) => void told.push(isFailed) }
  }
  const needs = { signal, federation: { rollouts: { has: () => true, pick } }, inferring: { random: systemRandom() } }
  const answer = underAlias(needs, 'heart@live', request, (model, { parts }) => {
    ran.push([model, parts])
    const error = failing[model]
    return error === undefined ? Promise.resolve(model) : Promise.reject(error)
  })
  return { answer, ran, told }
}

const TRIED = { name: 'r2', live: 'r1', arm: 'candidate' } as const

describe('a request under an alias', () => {
  test('runs with the model that is picked, in one part where nothing else is asked for', async () => {
    const one = ask(TRIED)
    expect(await one.answer).toBe('r2')
    expect([one.ran, one.told]).toEqual([[['r2', 1]], [false]])
    const several = ask(TRIED, {}, { parts: 3 })
    await several.answer
    const placed = ask(TRIED, {}, { stages: 'auto' })
    await placed.answer
    expect([several.ran, placed.ran]).toEqual([[['r2', 3]], [['r2', undefined]]])
  })

  test('is one for a model of that name where nothing is rolled out', async () => {
    const { answer, ran } = ask(undefined)
    expect([await answer, ran]).toEqual(['heart@live', [['heart@live', undefined]]])
  })

  test('before the first round serves is refused, and nothing runs', async () => {
    const { answer, ran, told } = ask({ name: null, live: null, arm: 'live' })
    await expect(answer).rejects.toMatchObject({ code: 'WEFT-FED-087', retryable: true })
    expect([ran, told]).toEqual([[], []])
  })

  test.each([new UnexpectedError('broken'), new ModelUnknownError('r2', false)])(
    'is answered by what serves where what is tried fails by no fault of who asked: %s',
    async (error) => {
      const { answer, ran, told } = ask(TRIED, { r2: error })
      expect(await answer).toBe('r1')
      expect([ran.map(([model]) => model), told]).toEqual([['r2', 'r1'], [true]])
      const first = ask({ ...TRIED, live: null }, { r2: error })
      await expect(first.answer).rejects.toBe(error)
      expect(first.told).toEqual([true])
    },
  )

  test('whose model is gone since another round is tried runs with that one, or hears that nothing serves', async () => {
    const gone = new ModelUnknownError('r1', false)
    const first = { name: 'r1', live: null, arm: 'candidate' } as const
    const followed = ask([first, { ...first, name: 'r2' }], { r1: gone })
    expect(await followed.answer).toBe('r2')
    expect([followed.ran.map(([model]) => model), followed.told]).toEqual([
      ['r1', 'r2'],
      [true, false],
    ])
    const taken = ask([first, { name: null, live: null, arm: 'live' }], { r1: gone })
    await expect(taken.answer).rejects.toMatchObject({ code: 'WEFT-FED-087' })
    const promoted = ask(
      [
        { name: 'r1', live: 'r1', arm: 'live' },
        { name: 'r2', live: 'r2', arm: 'live' },
      ],
      { r1: gone },
    )
    expect(await promoted.answer).toBe('r2')
    const both = ask([first, { ...first, name: 'r2' }, { ...first, name: 'r3' }], { r1: gone, r2: gone })
    await expect(both.answer).rejects.toBe(gone)
    expect(both.ran.length).toBe(2)
  })

  test('that is at fault itself is told so, and counts for what is tried', async () => {
    const error = new ModelKindError('r2', 'takes other arrays')
    const { answer, ran, told } = ask(TRIED, { r2: error })
    await expect(answer).rejects.toBe(error)
    expect([ran.length, told]).toEqual([1, [false]])
  })

  test('whose asker has had enough counts for nothing and runs no second time', async () => {
    const { answer, ran, told } = ask(TRIED, { r2: new UnexpectedError('enough') }, {}, AbortSignal.abort())
    await expect(answer).rejects.toThrow('enough')
    expect([ran.length, told]).toEqual([1, []])
  })
})
