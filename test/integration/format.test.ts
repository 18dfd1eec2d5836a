/** Answers that have a form, where another peer chooses the tokens. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { checkedSchema } from '../../src/pipeline/index.ts'
import { answer, codeOf, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const SCHEMA = {
  type: 'object',
  properties: { word: { type: 'string', maxLength: 8 }, count: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['word', 'count'],
  additionalProperties: false,
}

describe.runIf(isLong)('an answer that has a form', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b] = await Promise.all([lab.start('a'), lab.start('b')])
    await joined([a, b])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    // The head, which chooses, is at the other peer.
    const stages = placement('tiny', [
      [a, 0, 4],
      [b, 4, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
  }, 60_000)
  afterAll(() => lab.stop())

  it('has it, the second time too, and is the same wherever its tokens are chosen', async () => {
    const request = greedy('tiny', 80, { ignoreEnd: false, format: { kind: 'schema', text: checkedSchema(SCHEMA) } })
    const there = await answer(a, request)
    expect(there.error).toBeUndefined()
    const { word, count } = JSON.parse(there.end!.text) as { word: string; count: number }
    expect(word.length).toBeLessThanOrEqual(8)
    expect(count).toBeLessThan(100)
    expect(there.end!.finish).toBe('stop')
    expect((await answer(a, request)).ids).toEqual(there.ids)
    expect((await answer(a, { ...request, placement: 'local' })).ids).toEqual(there.ids)
  })

  it('keeps it where the head is lost on the way, and another one goes on', async () => {
    const request = greedy('tiny', 80, { ignoreEnd: false, format: { kind: 'schema', text: checkedSchema(SCHEMA) } })
    const expected = await answer(a, { ...request, placement: 'local' })
    const { stages } = await a.access.status()
    const host = stages.find((stage) => stage.peer === b.id && stage.state === 'ready')!.pid
    const whole = await answer(a, request, (count) => count === 3 && process.kill(host, 'SIGKILL'))
    expect(whole.error).toBeUndefined()
    expect(whole.ids).toEqual(expected.ids)
    expect(whole.reroutes.length).toBe(1)
    await until('the stage is back', async () => {
      const now = await a.access.status()
      return now.stages.some((stage) => stage.peer === b.id && stage.state === 'ready' && stage.pid !== host)
    })
  })

  it('a pattern that makes no grammar, and a token that is none, end their own answer with a code', async () => {
    const text = checkedSchema({ type: 'string', pattern: '(a|b' })
    expect(codeOf((await answer(a, greedy('tiny', 8, { format: { kind: 'schema', text } }))).error)).toBe(
      'WEFT-INF-014',
    )
    const { sampling } = greedy('tiny', 8)
    const far = greedy('tiny', 8, { sampling: { ...sampling, logitBias: [[1_000_000, 1]] } })
    expect(codeOf((await answer(a, far)).error)).toBe('WEFT-MOD-103')
    expect((await answer(a, greedy('tiny', 4))).error).toBeUndefined()
  })

  it('a token can be kept out, and another made sure of', async () => {
    const { sampling } = greedy('tiny', 4)
    const [usual] = (await answer(a, greedy('tiny', 1))).ids
    const other = await answer(a, greedy('tiny', 1, { sampling: { ...sampling, logitBias: [[usual!, -100]] } }))
    expect(other.ids[0]).not.toBe(usual)
    const sure = await answer(a, greedy('tiny', 4, { sampling: { ...sampling, logitBias: [[65, 100]] } }))
    expect(sure.ids).toEqual([65, 65, 65, 65])
  })
})
