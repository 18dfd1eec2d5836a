/** Requests of every kind that shares something with another: a prefix, a run of the batcher, guesses; and the texts that one process gives. */
import { answer, greedy } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { MODEL } from '../promises/field.ts'
import type { Case } from '../support/cases.ts'

const PREFIX_ROWS = 96
const DEADLINE_MS = 120_000
/** One process computes them, beside whatever else the machine does. */
const ALONE_MS = 300_000

export async function differentCases(peer: RealPeer, random: () => number): Promise<readonly Case[]> {
  const id = (): number => 300 + Math.floor(random() * 500)
  const some = (count: number): number[] => Array.from({ length: count }, id)
  const prefix = some(PREFIX_ROWS)
  const copied = some(24)
  const prompts = [
    some(2),
    some(200 + Math.floor(random() * 150)),
    [...prefix, ...some(12)],
    [...prefix, ...some(40)],
    [...copied, ...copied, ...copied, ...copied],
    [...prefix, ...copied, ...copied],
  ]
  const cases: Case[] = []
  for (const [index, ids] of prompts.entries()) {
    const isGreedy = index !== 1 && index !== 3
    const penalty = index === 3 ? { repetitionPenalty: 1.1 } : {}
    const sampling = {
      ...greedy(MODEL, 1).sampling,
      temperature: isGreedy ? 0 : 0.8,
      topK: 40,
      seed: index + 1,
      ...penalty,
    }
    const more = { input: { kind: 'ids', ids }, sampling, deadline: DEADLINE_MS } as const
    const request = greedy(MODEL, 60 + Math.floor(random() * 60), more)
    const whole = await answer(peer, { ...request, placement: 'local', deadline: ALONE_MS })
    if (whole.error !== undefined) throw whole.error
    cases.push({ request, ids: whole.ids.join() })
  }
  return cases
}
