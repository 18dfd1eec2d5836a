/**
 * Everything at once, at random: prompts that begin as others did or not, 1 to 16 answers together, guesses right and wrong,
 * penalties, likelihoods, and a stage that is lost on the way. Each text is that of the plainest way, bit for bit.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { isWhole } from '../whole.ts'
import { plainModel } from './support-plain.ts'
import type { Plain } from './support-plain.ts'
import { alive, answer, createLab, greedy, ringOfTiny, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

/** Draws from a seed: the same mixture each time, and what a failure names. */
function chance(seed: number): (most: number) => number {
  let state = seed * 2_654_435_761
  return (most) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return (state >>> 8) % most
  }
}

const ROUNDS = 24
const FEATURES = ['off', 'auto', 'lookup', 'lookup'] as const

interface Case {
  readonly request: GenerateRequest
  readonly ids: readonly number[]
}

/** Prompts out of few pieces, so that they begin alike and repeat themselves. */
function caseOf(draw: (most: number) => number): Case {
  const piece = (which: number, length: number): number[] =>
    Array.from({ length }, (_, at) => 300 + ((which * 131 + (at % (3 + which * 4)) * 17) % 900))
  const ids = [...piece(draw(3), 20 + 40 * draw(4)), ...piece(draw(6), 1 + draw(30)), ...piece(draw(3), 1 + draw(9))]
  const sampled = {
    temperature: [0.2, 0.7, 1][draw(3)]!,
    topK: [0, 5, 40][draw(3)]!,
    topP: [1, 0.9][draw(2)]!,
    minP: 0,
    repetitionPenalty: [1, 1.1][draw(2)]!,
    presencePenalty: [0, 0.3][draw(2)]!,
    frequencyPenalty: [0, 0.1][draw(2)]!,
    seed: draw(1000),
  }
  const more = {
    input: { kind: 'ids', ids } as const,
    speculate: FEATURES[draw(FEATURES.length)]!,
    ...(draw(2) === 0 ? {} : { sampling: sampled }),
    ...(draw(3) > 0 ? {} : { logprobs: 2 }),
  }
  return { request: greedy('tiny', 10 + draw(90), { ...more, deadline: 300_000 }), ids }
}

describe.runIf(isWhole)('everything at once', () => {
  let lab: Lab
  let plain: Plain
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    plain = await plainModel(TINY)
    ;({ a, b, c } = await ringOfTiny(lab))
  }, 120_000)

  afterAll(async () => {
    await lab.stop()
    await plain.stop()
  })

  const hostOf = async (peer: RealPeer): Promise<number> => {
    let pid = 0
    await until('the peer has a host', async () => {
      const { stages } = await a.access.status()
      pid = stages.find((stage) => stage.peer === peer.id && stage.state === 'ready')?.pid ?? 0
      return pid > 0 && alive(pid)
    })
    return pid
  }

  it(`gives the text of the plainest way, ${ROUNDS} times`, { timeout: 600_000 }, async () => {
    const sums = { prefix_hits: 0, draft_tokens: 0, draft_accepted: 0, failovers: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      const draw = chance(round + 1)
      const cases = Array.from({ length: 1 + draw(16) }, () => caseOf(draw))
      const loses = round % 2 === 1
      const host = loses ? await hostOf([b, c][draw(2)]!) : 0
      const at = 3 + draw(8)
      let tokens = 0
      const before = (await a.access.status()).counters
      const kill = (): void => {
        if (++tokens === at && loses) process.kill(host, 'SIGKILL')
      }
      const answers = await Promise.all(cases.map(({ request }) => answer(a, request, kill)))
      const after = (await a.access.status()).counters
      for (const name of Object.keys(sums) as (keyof typeof sums)[])
        sums[name] += (after[name] ?? 0) - (before[name] ?? 0)
      for (const [index, { request, ids }] of cases.entries()) {
        const expected = await plain.answer(ids, request)
        const got = answers[index]!
        const { speculate, sampling } = request
        expect(got.error, `round ${round}, answer ${index}`).toBeUndefined()
        expect({ round, index, speculate, sampling, ids: got.ids }).toEqual({
          round,
          index,
          speculate,
          sampling,
          ids: expected.ids,
        })
        if (request.logprobs !== undefined) expect(got.logprobs).toEqual(expected.logprobs)
      }
    }
    // All of it has happened, and guesses were right and wrong.
    expect(Math.min(...Object.values(sums))).toBeGreaterThan(0)
    expect(sums.draft_accepted).toBeLessThan(sums.draft_tokens)
  })
})
