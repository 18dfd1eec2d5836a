/** Windows of guesses in flight, over real peers: several of one answer are under way at once, and the text is that of none. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { withLayers } from '../models/support/gguf-layers.ts'
import { isLong } from '../whole.ts'
import { answer, counter, createLab, greedy, hostOf, ringOfTiny, stat, TINY, until } from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const LENGTH = 100
/** It repeats itself, and so does what follows: guesses out of the text come true, and some do not. */
const PROMPT = Array.from({ length: 60 }, (_, at) => 300 + (at % 7) * 17)

describe.runIf(isLong)('windows in flight', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    ;({ a, b, c } = await ringOfTiny(lab, ['--draft', 'off']))
    const near = join(lab.home('a'), 'near.gguf')
    await withLayers(TINY, near, [0, 1, 2, 3, 4])
    await a.access.importModel({ source: near, name: 'near' }, () => undefined)
  }, 120_000)

  afterAll(() => lab.stop())

  const request = (more: Partial<GenerateRequest> = {}): GenerateRequest =>
    greedy('tiny', LENGTH, { input: { kind: 'ids', ids: PROMPT }, deadline: 120_000, ...more })
  const ask = (more: Partial<GenerateRequest> = {}): Promise<Answer> => answer(a, request(more))
  const allFreed = (): Promise<void> =>
    until('all sessions are freed', async () => {
      const left = [b, c].map(
        async (peer) => (await counter(peer, 'sessions_opened')) - (await counter(peer, 'sessions_freed')),
      )
      return (await Promise.all(left)).every((count) => count === 0)
    })

  it('give the text of none, in fewer steps; without them none are in flight', async () => {
    const plain = await ask({ speculate: 'off' })
    const guessed = await ask({ speculate: 'lookup' })
    expect(guessed.ids).toEqual(plain.ids)
    const [windows, ahead] = ['draft_windows', 'draft_windows_ahead'].map((name) => stat(guessed, name))
    expect(ahead).toBeGreaterThan(0)
    expect(windows).toBeGreaterThan(ahead!)
    expect(stat(plain, 'draft_windows')).toBe(0)
  })

  it.each([
    ['drawn', { temperature: 0.25 }, {}],
    ['drawn, with penalties', { temperature: 0.3, presencePenalty: 0.1, repetitionPenalty: 1.02 }, {}],
    ['with likelihoods', { temperature: 0.4, topP: 0.9 }, { logprobs: 2 }],
    ['held to a form', { temperature: 0.7 }, { format: { kind: 'json' } }],
  ] as const)('give the text of none, %s, right and wrong', async (_, sampling, more) => {
    const sums = { ahead: 0, wrong: 0 }
    for (const seed of [1, 2]) {
      const drawn = { ...more, sampling: { ...GREEDY, ...sampling, seed } }
      const plain = await ask({ ...drawn, speculate: 'off' })
      const guessed = await ask({ ...drawn, speculate: 'lookup' })
      expect(guessed.error).toBeUndefined()
      expect(guessed.ids).toEqual(plain.ids)
      expect(guessed.logprobs).toEqual(plain.logprobs)
      sums.ahead += stat(guessed, 'draft_windows_ahead')
      sums.wrong += stat(guessed, 'draft_tokens') - stat(guessed, 'draft_accepted')
    }
    expect(sums.wrong).toBeGreaterThan(0)
    expect(sums.ahead).toBeGreaterThan(0)
  })

  it('of a draft model follow each other as it guesses', async () => {
    const told = (more: Partial<GenerateRequest>): Promise<Answer> =>
      answer(a, greedy('tiny', LENGTH, { deadline: 120_000, ...more }))
    const plain = await told({ speculate: 'off' })
    const guessed = await told({ speculate: 'draft', draft: 'near' })
    expect(guessed.ids).toEqual(plain.ids)
    expect(stat(guessed, 'draft_windows_ahead')).toBeGreaterThan(0)
    expect(stat(guessed, 'draft_model_tokens')).toBe(stat(guessed, 'draft_tokens'))
    expect(stat(guessed, 'draft_model_accepted')).toBeGreaterThan(5)
  })

  it.each([
    ['a stage', () => c],
    ['the stage before it', () => b],
  ] as const)('are forgotten when %s is lost, and the text goes on', async (_, peer) => {
    const plain = await ask({ speculate: 'off' })
    const host = await hostOf(a, peer())
    let seen = 0
    const guessed = await answer(a, request({ speculate: 'lookup' }), (count) => {
      if (count >= 40 && seen === 0) process.kill((seen = host), 'SIGKILL')
    })
    expect(guessed.error).toBeUndefined()
    expect(guessed.ids).toEqual(plain.ids)
    expect(guessed.reroutes).toMatchObject([{ lost: [peer().id], exact: true }])
    expect(stat(guessed, 'draft_windows_ahead')).toBeGreaterThan(0)
    await allFreed()
  })

  it('are freed when whoever asked goes away', async () => {
    const gone = new AbortController()
    const before = await counter(a, 'draft_windows_ahead')
    const left = await answer(
      a,
      request({ speculate: 'lookup' }),
      (count) => {
        if (count === 50) gone.abort()
      },
      gone.signal,
    )
    expect(left.ids.length).toBeLessThan(LENGTH)
    expect(await counter(a, 'draft_windows_ahead')).toBeGreaterThan(before)
    await allFreed()
    expect((await ask({ speculate: 'lookup' })).ids).toEqual((await ask({ speculate: 'off' })).ids)
  })

  it('go along with rows of others, and everybody has their text', async () => {
    const others = Array.from({ length: 4 }, (_, index): GenerateRequest => {
      const ids = PROMPT.map((id) => id + index * 5)
      return request({ input: { kind: 'ids', ids }, speculate: index % 2 === 0 ? 'lookup' : 'off' })
    })
    const plain: Answer[] = []
    for (const each of others) plain.push(await answer(a, { ...each, speculate: 'off' }))
    const before = await counter(b, 'batched_rows')
    const together = await Promise.all(others.map((each) => answer(a, each)))
    expect(together.map(({ ids, error }) => error ?? ids)).toEqual(plain.map(({ ids }) => ids))
    expect(await counter(b, 'batched_rows')).toBeGreaterThan(before)
    await allFreed()
  })

  it('leave a text that others find, and begin on what others left', async () => {
    const ids = [...PROMPT, 999]
    const first = await ask({ input: { kind: 'ids', ids }, speculate: 'lookup' })
    const longer = [...ids, ...first.ids, 777]
    const plain = await ask({ input: { kind: 'ids', ids: longer }, speculate: 'off', placement: 'local' })
    const found = await ask({ input: { kind: 'ids', ids: longer }, speculate: 'lookup' })
    expect(found.ids).toEqual(plain.ids)
    expect(stat(found, 'prefix_hits')).toBeGreaterThan(PROMPT.length)
  })
})
