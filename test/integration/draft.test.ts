/** A small model that guesses at the origin, over real peers: never another text, and nothing of it left behind. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { isLong } from '../whole.ts'
import { withLayers } from '../models/support/gguf-layers.ts'
import { alive, answer, codeOf, counter, createLab, greedy, hostOf, ringOfTiny, stat, TINY, until } from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const LENGTH = 70

describe.runIf(isLong)('a draft model at the origin', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    ;({ a, b, c } = await ringOfTiny(lab, ['--draft', 'near']))
    // Without its last layer it guesses well, with two that do not belong together it does not.
    const layers = { near: [0, 1, 2, 3, 4], poor: [3, 1] }
    for (const [name, kept] of Object.entries(layers)) {
      const source = join(lab.home('a'), `${name}.gguf`)
      await withLayers(TINY, source, kept)
      await a.access.importModel({ source, name }, () => undefined)
    }
  }, 120_000)

  afterAll(() => lab.stop())

  const request = (more: Partial<GenerateRequest> = {}): GenerateRequest =>
    greedy('tiny', LENGTH, { deadline: 120_000, ...more })
  const ask = (more: Partial<GenerateRequest> = {}): Promise<Answer> => answer(a, request(more))
  const allFreed = (): Promise<void> =>
    until('sessions of draft models are freed', async () => {
      const opened = await counter(a, 'draft_sessions')
      return opened > 0 && opened === (await counter(a, 'draft_sessions_freed'))
    })

  it('gives the text of no guesses, with fewer steps', async () => {
    const plain = await ask({ speculate: 'off' })
    const before = await counter(b, 'rows')
    const guessed = await ask({ speculate: 'draft', draft: 'near' })
    expect(guessed.ids).toEqual(plain.ids)
    expect(stat(guessed, 'draft_model_accepted')).toBeGreaterThan(5)
    expect(stat(guessed, 'draft_model_tokens')).toBe(stat(guessed, 'draft_tokens'))
    // Each guess is a row of the stages, right or wrong.
    expect((await counter(b, 'rows')) - before).toBeGreaterThanOrEqual(
      LENGTH + stat(guessed, 'draft_tokens') - stat(guessed, 'draft_accepted'),
    )
    await allFreed()
  })

  it.each([
    ['drawn', { temperature: 0.9, topP: 0.9 }, {}],
    ['drawn, with penalties', { temperature: 0.8, topK: 40, repetitionPenalty: 1.2, presencePenalty: 0.3 }, {}],
    ['with likelihoods and a bias', { temperature: 0.6, logitBias: [[262, -2]] as const }, { logprobs: 2 }],
    ['beside guesses out of the text', { temperature: 0.5 }, { speculate: 'auto' }],
    ['held to a form', { temperature: 0.7 }, { format: { kind: 'json' } }],
  ] as const)('gives the text of no guesses, %s', async (_, sampling, more) => {
    let accepted = 0
    for (const seed of [1, 2, 3]) {
      const drawn = { ...more, sampling: { ...GREEDY, ...sampling, seed } }
      const plain = await ask({ ...drawn, speculate: 'off' })
      const guessed = await ask({ speculate: 'draft', ...drawn, draft: 'near' })
      expect(guessed.error).toBeUndefined()
      expect(guessed.ids).toEqual(plain.ids)
      expect(guessed.logprobs).toEqual(plain.logprobs)
      accepted += stat(guessed, 'draft_accepted')
    }
    expect(accepted).toBeGreaterThan(0)
  })

  it('stops when it guesses badly, but where it is told to go on', async () => {
    const sampling = { ...GREEDY, temperature: 1.2, seed: 4 }
    const plain = await answer(a, { ...request({ sampling, speculate: 'off' }), maxTokens: 200 })
    const auto = await answer(a, { ...request({ sampling, draft: 'poor' }), maxTokens: 200 })
    const forced = await answer(a, { ...request({ sampling, draft: 'poor', speculate: 'draft' }), maxTokens: 200 })
    expect(auto.ids).toEqual(plain.ids)
    expect(forced.ids).toEqual(plain.ids)
    expect(stat(auto, 'draft_sessions')).toBe(1)
    expect(stat(auto, 'draft_model_tokens')).toBeLessThan(stat(forced, 'draft_model_tokens') / 2)
  })

  it('goes on when a stage is lost in the middle of a window', async () => {
    const plain = await ask({ speculate: 'off' })
    const host = await hostOf(a, c)
    let seen = 0
    const guessed = await answer(a, request({ speculate: 'draft', draft: 'near' }), (count) => {
      if (count >= 12 && seen === 0) process.kill((seen = host), 'SIGKILL')
    })
    expect(guessed.error).toBeUndefined()
    expect(guessed.ids).toEqual(plain.ids)
    expect(guessed.reroutes).toMatchObject([{ lost: [c.id], exact: true }])
    expect(stat(guessed, 'draft_model_accepted')).toBeGreaterThan(5)
    await allFreed()
  })

  it('is shown with the answers that it guesses for', async () => {
    const seen: number[] = []
    const looks: Promise<unknown>[] = []
    const look = async (): Promise<void> => {
      const { drafts = [] } = await a.access.status()
      seen.push(drafts.find(({ model }) => model === 'near')?.answers ?? -1)
    }
    await answer(a, { ...request({ speculate: 'draft', draft: 'near' }), maxTokens: 200 }, (count) => {
      if (count === 10) looks.push(look())
    })
    await Promise.all(looks)
    await allFreed()
    await look()
    expect(seen).toEqual([1, 0])
    const near = (await a.access.status()).drafts!.find(({ model }) => model === 'near')!
    expect(near).toMatchObject({ state: 'ready' })
    expect(alive(near.pid)).toBe(true)
    expect(near.memory).toBeGreaterThan(100_000)
  })

  it('is freed when whoever asked goes away', async () => {
    const gone = new AbortController()
    const before = await counter(a, 'draft_sessions')
    const left = await answer(
      a,
      request({ speculate: 'draft', draft: 'near' }),
      (count) => {
        if (count === 20) gone.abort()
      },
      gone.signal,
    )
    expect(left.ids.length).toBeLessThan(LENGTH)
    await until('it had begun', async () => (await counter(a, 'draft_sessions')) === before + 1)
    await allFreed()
  })

  it('is the one that the peer was told to take, where an answer names none and goes over others', async () => {
    const plain = await ask({ speculate: 'off' })
    await until('it is taken', async () => {
      const guessed = await ask()
      expect(guessed.ids).toEqual(plain.ids)
      return stat(guessed, 'draft_sessions') === 1
    })
    for (const more of [{ draft: 'off' }, { placement: 'local' }, { lane: 'batch' }, { audit: 'sample' }] as const) {
      const without = await ask(more)
      expect(without.ids).toEqual(plain.ids)
      expect(stat(without, 'draft_sessions')).toBe(0)
    }
    await allFreed()
  })

  it('is refused by one code where it cannot guess for the model, and nothing is computed', async () => {
    const before = await counter(b, 'rows')
    for (const draft of ['nowhere', 'tiny']) {
      const refused = await ask({ draft })
      expect(codeOf(refused.error)).toBe('WEFT-INF-043')
      expect((refused.error as Error).message).toContain(`"${draft}"`)
    }
    expect(await counter(b, 'rows')).toBe(before)
    expect((await ask({ draft: 'nowhere', speculate: 'off' })).error).toBeUndefined()
  })
})
