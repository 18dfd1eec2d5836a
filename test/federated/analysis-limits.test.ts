/** What a plan may ask for at most, and what a record adds at most where doubles run out. */
import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { momentsPart } from '../../src/federated/analysis/moments.ts'
import type { RecordRow } from '../../src/federated/analysis/records.ts'
import {
  AnalysisMath,
  AnalysisSite,
  checkAnalysisPlan,
  checkFedPlan,
  checkSum,
  decodeState,
  encodeState,
  FIRST_STATE,
  JobView,
  planHash,
  rangesOf,
  readFedData,
  stateHash,
} from '../../src/federated/index.ts'
import type { AnalysisPlan } from '../../src/federated/index.ts'
import { analyse, analysisPlan, linesOf, patients, seededWords, writePatients } from './support/analysis.ts'
import { plan, temporaryFolder } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const STATISTICS = [{ kind: 'count' }, { kind: 'moments', column: 'age', range: [0, 120] }]

function checked(statistics: readonly object[], changes: object = {}): AnalysisPlan {
  return checkAnalysisPlan(analysisPlan(statistics, changes), 'plan')
}

describe('the modulus has room for the noise', () => {
  test.each([
    { records: undefined, privacy: { unit: 'site', epsilon: 1, delta: 1e-5 } },
    { records: 2000, privacy: { unit: 'record', epsilon: 0.1, delta: 1e-5 }, secagg: { bits: 20 } },
    { records: 40, privacy: { unit: 'site', epsilon: 1, delta: 1e-5 }, secagg: { bits: 16 } },
  ])('with counts as fine as it allows: %j', async (changes) => {
    const value = checked(STATISTICS, changes)
    const members = Array.from({ length: 3 }, (_, at) => ({ peer: `p${at}`, key: new Uint8Array(32), site: 's' }))
    const view = new JobView({ id: 'job', plan: value, planHash: planHash(value), members })
    const hash = new Uint8Array(32)
    const header = view.header(0, FIRST_STATE, hash, view.groups(FIRST_STATE)[0]!)
    // What each member checks of itself before it takes part.
    checkSum(header, 3, view.noiseSd(FIRST_STATE))
    const spent = view.math.noise(FIRST_STATE)!
    expect(spent.clip).toBeCloseTo(view.math.parts(FIRST_STATE).sensitivity, 9)
    const paths = [1, 2, 3].map((seed) => writePatients(folder, `fit-${seed}`, linesOf(patients(seed, 30))))
    const { result } = await analyse(analysisPlan(STATISTICS, changes), paths)
    expect(result.privacy!.epsilon).toBeLessThanOrEqual((changes.privacy as { epsilon: number }).epsilon)
  })

  test('and a plan that leaves none is refused where it is made', () => {
    const value = checked(STATISTICS, {
      records: 1000,
      secagg: { bits: 16 },
      privacy: { unit: 'site', epsilon: 0.5, delta: 1e-5 },
    })
    expect(() => AnalysisMath.check(value, 3)).toThrow('has no room for the noise')
  })
})

describe('a plan that asks for too many numbers is refused before any is made', () => {
  const at = Array.from({ length: 100 }, (_, level) => (level + 1) / 101)
  test.each([
    [
      'of a later round',
      [
        { kind: 'quantiles', column: 'age', range: [0, 1], bins: 10_000, at, rounds: 2 },
        ...Array.from({ length: 5 }, () => ({
          kind: 'quantiles',
          column: 'age',
          range: [0, 1],
          bins: 10_000,
          at,
          rounds: 2,
        })),
      ],
    ],
    [
      'that are spread over several',
      [
        {
          kind: 'calibration',
          score: 'score',
          target: { column: 'num', above: 0 },
          bins: 10_000,
          by: { column: 'cp', values: Array.from({ length: 30 }, (_, value) => value) },
        },
      ],
    ],
  ])('%s', (_, statistics) => {
    expect(() => new AnalysisMath(checked(statistics), 3)).toThrow(/are the most/)
  })
})

test.each([
  { kind: 'histogram', column: 'age', range: [0, 120], bins: 2000, by: { column: 'cp', values: numbered(100) } },
  {
    kind: 'calibration',
    score: 'score',
    target: { column: 'num', above: 0 },
    bins: 8_500,
    by: { column: 'cp', values: numbered(8) },
  },
])(
  'a plan of hundreds of thousands of numbers makes a state and a result: $kind',
  async (statistic) => {
    const path = writePatients(folder, 'large', linesOf(patients(1, 30)))
    const { result, state } = await analyse(analysisPlan([statistic], { minimum: { records: 0 } }), [path, path, path])
    expect(stateHash(decodeState(encodeState(state)))).toEqual(stateHash(state))
    expect(result.statistics[0]!.groups).toHaveLength(statistic.by.values.length)
  },
  60_000,
)

function numbered(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

test('a number whose squares are too large to be summed is refused before anything is promised', async () => {
  const path = writePatients(folder, 'huge', ['1e12,1', '-1e12,1'], ['huge', 'cp'])
  for (const by of [undefined, { column: 'cp', values: [1] }]) {
    const math = new AnalysisMath(checked([{ kind: 'moments', column: 'huge', by }]), 3)
    const opened = AnalysisSite.open(math, await readFedData(path), seededWords(1))
    await expect(opened).rejects.toMatchObject({ code: 'WEFT-FED-002' })
  }
})

test.each([
  [{ kind: 'count', by: { column: 'cp', values: [1, 2, '1.0'] } }],
  [{ kind: 'histogram', column: 'cp', values: ['a', 'b', 'a'] }],
])('values of which a cell would be two are refused: %j', (statistic) => {
  expect(() => checked([statistic])).toThrow(/alues" has "?(a|1\.0)"? twice/)
})

describe('a range', () => {
  const moments = (range: readonly [number, number]): object => ({ kind: 'moments', column: 'age', range })

  test.each([
    [2 ** 53, 2 ** 53 + 2],
    [2 ** 60, 2 ** 60 + 256],
    [5e-324, 3e-323],
    [0, 120],
  ] as const)('of %d to %d: no value adds more than one count, one unit and its square', (low, high) => {
    const value = checked([moments([low, high])], { privacy: { unit: 'record', epsilon: 1, delta: 1e-5 } })
    const part = momentsPart(value.statistics[0] as never, true)
    for (const at of [low, high, (low + high) / 2, -1e300, 1e300]) {
      const tally = part.tally({ scale: 16, uniform: () => 0 })
      tally.add({ number: () => at } as unknown as RecordRow)
      expect(Math.hypot(...tally.counts)).toBeLessThanOrEqual(16 * part.ofRecord)
    }
  })

  test.each([
    [-1e308, 1e308, 'is too wide'],
    [0, 5e-324, 'is too narrow'],
    [2, 1, 'does not rise'],
  ] as const)('of %d to %d is none', (low, high, why) => {
    expect(() => checked([moments([low, high])])).toThrow(why)
    expect(() => checked([{ kind: 'schema', columns: [{ column: 'age', range: [low, high] }] }])).toThrow(why)
    const value = plan({ features: [{ column: 'age', range: [low, high] }], privacy: PRIVATE })
    expect(() => rangesOf(checkFedPlan(value, 'plan'))).toThrow(why)
  })
})

const PRIVATE = { unit: 'record', epsilon: 1, delta: 1e-5, clip: 1, sample_rate: 0.1 }

test('a site tells its own distances by name, so two drifts of one name are refused', () => {
  const drift = { kind: 'drift', column: 'age', range: [0, 120], bins: 4 }
  expect(() => checked([drift, drift])).toThrow('"statistics.1.name" is needed')
  expect(() => checked([drift, { ...drift, column: 'sbp', name: 'drift age' }])).toThrow('"statistics.1.name"')
  expect(checked([drift, { ...drift, name: 'finer', bins: 8 }]).statistics).toHaveLength(2)
})
