import { describe, expect, test } from 'vitest'
import { checkFedPlan, FIRST_STATE, JobView, planHash, stateHash } from '../../src/federated/index.ts'
import type { FedState, MemberState } from '../../src/federated/index.ts'
import { chooseSums } from '../../src/federated/rounds/choose-members.ts'
import { plan } from './support/hospitals.ts'

const PRIVACY = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2 }
const PEERS = ['a', 'b', 'c', 'd', 'e']
const TRAINED: FedState = { ...FIRST_STATE, pooled: { records: 100, columns: [] }, global: Float32Array.of(1, 2) }

type Bounds = Readonly<Record<string, readonly string[] | null>>

/** Who is ready, with what each says it is bound to. */
function chosen(bounds: Bounds, changes: object = {}, state = FIRST_STATE, more: object = {}): unknown {
  const checked = checkFedPlan(plan({ minimum: { sites: 3 }, ...changes }), 'plan')
  const members = PEERS.map((peer) => ({ peer, key: new Uint8Array(32), site: peer }))
  const job = new JobView({ id: 'job-1', plan: checked, planHash: planHash(checked), members })
  const standing = { current: { state, hash: stateHash(state), votes: [] } } as unknown as MemberState
  const ready = Object.entries(bounds).map(([peer, bound]) => ({ peer, hello: { bound } }))
  const question = { job, standing, ready, waited: 1e9, times: { graceMs: 1 } }
  const choice = chooseSums({ ...question, isHere: () => false, isPresent: () => false, admits: () => true, ...more })
  return 'why' in choice ? { waits: choice.peers } : choice.flatMap(({ guests }) => guests.map(({ peer }) => peer))
}

const SET = ['a', 'b', 'c', 'd']

describe('members of a round', () => {
  test('whose sum was signed are waited for where there is no noise: always, and for the statistics of a private plan', () => {
    const bounds = { a: SET, b: SET, c: null, e: null }
    expect(chosen(bounds, {}, TRAINED)).toEqual({ waits: ['d'] })
    expect(chosen(bounds, { privacy: PRIVACY })).toEqual({ waits: ['d'] })
    expect(chosen(bounds, { privacy: PRIVACY }, TRAINED)).toEqual(['a', 'b', 'c', 'e'])
    expect(chosen({ ...bounds, d: null })).toEqual(SET)
  })

  test('that have left are waited for where the others are too few, and not a second longer', () => {
    const now = { waited: 0, hasLeft: (peer: string) => peer === 'e' }
    expect(chosen({ a: null, b: null, c: null, d: null }, {}, TRAINED, now)).toEqual(['a', 'b', 'c', 'd'])
    expect(chosen({ a: null, b: null, c: null }, {}, TRAINED, now)).toEqual({ waits: ['d', 'e'] })
    expect(chosen({ a: null, b: null, c: null, d: null }, {}, TRAINED, { waited: 0 })).toEqual({ waits: ['e'] })
  })

  test('that say they are bound, and are too few to have ended a sum, stop nobody', () => {
    const free = { a: null, b: null, c: null, d: null }
    expect(chosen({ ...free, e: ['a', 'b', 'c', 'e'] })).toEqual(['a', 'b', 'c', 'd'])
    for (const bound of [[], ['nobody'], ['e', 'nobody'], ['a', 'b', 'c']]) {
      expect(chosen({ ...free, e: bound })).toEqual(PEERS)
    }
  })
})
