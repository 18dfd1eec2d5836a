/** What guesses gave where a model is asked reaches the plan there, and the judgement of a placement that lives. */
import { describe, expect, it } from 'vitest'
import type { PeerProfile } from '../../src/mesh/index.ts'
import { planInput } from '../../src/peer/plan-input.ts'
import type { PlanNeeds } from '../../src/peer/plan-input.ts'
import { toldGuessing } from '../../src/peer/profile-plan.ts'
import { livingState } from '../../src/peer/replan-input.ts'
import type { ReplanInputNeeds } from '../../src/peer/replan-input.ts'
import { fakeManifest } from '../api/fake-peer.ts'
import { profile } from '../mesh/support/make-mesh.ts'

const manifest = fakeManifest()
const { digest } = manifest
const use = [
  { digest: 'ab'.repeat(32), tokens_per_minute: 64, step_tokens: 9, step_rows: 9 },
  { digest, tokens_per_minute: 64, step_tokens: 1.9, step_rows: 3 },
]

describe('tokens that a step gives', () => {
  const needs = {
    self: 'a',
    mesh: null,
    stages: { weightsBeside: () => 0 },
    threads: 1,
    profile: () => profile('a').hardware,
    measured: { speeds: () => () => ({}), links: () => [], guessing: (of: string) => toldGuessing(use, of) },
  } as unknown as PlanNeeds

  it('are in the question of a plan for latency, and of no other', () => {
    expect(planInput(needs, manifest).guessing).toEqual({ tokens: 1.9, rows: 3 })
    expect(planInput(needs, manifest, { objective: 'throughput' })).not.toHaveProperty('guessing')
    expect(toldGuessing([{ digest, tokens_per_minute: 64 }], digest)).toEqual({})
  })

  it('are those of whoever asks where others weigh its placement', () => {
    const told = (name: string, own: PeerProfile['use']): PeerProfile => ({ ...profile(name), addresses: [], use: own })
    const mesh = {
      peers: () => [{ id: 'a', state: 'connected' }],
      profiles: () =>
        new Map([
          ['a', told('a', use)],
          ['b', told('b', [{ ...use[1]!, step_tokens: 3 }])],
        ]),
      holdings: () => new Map(),
      manifests: () => [],
      state: () => 'connected',
    } as unknown as ReplanInputNeeds['mesh']
    const stages = [{ peer: 'origin', from: 0, to: manifest.blocks.length }]
    const seenBy = (objective: 'latency' | 'throughput'): unknown =>
      livingState({ self: 'b', mesh }, manifest, {
        model: manifest.model,
        digest,
        epoch: 1,
        author: 'a',
        kind: 'chosen',
        stages,
        replicas: [],
        note: { origin: 'a', objective },
      } as unknown as Parameters<typeof livingState>[2])?.input.guessing
    expect(seenBy('latency')).toEqual({ tokens: 1.9, rows: 3 })
    expect(seenBy('throughput')).toBeUndefined()
  })
})
