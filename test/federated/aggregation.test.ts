import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bearableAttackers,
  bucketsOf,
  createStrategy,
  FederatedError,
  nodePrimitives,
  STRATEGIES,
} from '../../src/federated/index.ts'
import type { Aggregation, ClientUpdate, StrategyParameters } from '../../src/federated/index.ts'
import { bucketMean, bucketWeight } from '../../src/federated/aggregation/bucketed.ts'
import { hash } from './support/round.ts'

const SID = Buffer.from(hash('sid')).toString('hex')

/** Parameters with which each strategy can be made for eleven members. */
const PARAMETERS: Readonly<Record<string, StrategyParameters>> = {
  scaffold: { lr: 0.1 },
  qfedavg: { q: 1, lr: 0.1 },
  trimmed: { trim: 2 },
  krum: { f: 2 },
  multikrum: { f: 2, m: 3 },
  bulyan: { f: 2 },
  geomedian: { iterations: 30 },
  bucketed: { sid: SID, group: 3, clip: 10, rule: 'median' },
}

function run(
  name: string,
  parameters: StrategyParameters,
  clients: readonly (Partial<Omit<ClientUpdate, 'update'>> & { readonly update: ArrayLike<number> })[],
  global: readonly number[] = clients[0] === undefined ? [0] : Array.from(clients[0].update, () => 0),
  state: Readonly<Record<string, Float64Array>> = {},
): Aggregation {
  return createStrategy(name, parameters).aggregate({
    global: Float64Array.from(global),
    state,
    clients: clients.map((client) => ({
      records: 1,
      steps: 1,
      loss: 1,
      ...client,
      update: Float64Array.from(client.update),
    })),
  })
}

function refusal(action: () => unknown): Pick<FederatedError, 'kind' | 'party' | 'index'> | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof FederatedError)) throw error
    return { kind: error.kind, party: error.party, index: error.index }
  }
}

describe.each(STRATEGIES)('%s', (name) => {
  const parameters = PARAMETERS[name] ?? {}
  const same = Array.from({ length: 11 }, () => ({ update: [0.5, -0.25, 0] }))

  test('moves by the update that all agree on, in its direction', () => {
    const { global } = run(name, parameters, same, [1, 1, 1])
    expect(Math.sign(global[0]! - 1)).toBe(1)
    expect(Math.sign(global[1]! - 1)).toBe(-1)
    expect(global[2]).toBeCloseTo(1, 12)
  })

  test('gives the same for the same, twice, and changes nothing that it was given', () => {
    const update = Float64Array.of(0.5, -0.25, 0)
    const global = Float64Array.of(1, 2, 3)
    const input = {
      global,
      state: {},
      clients: Array.from({ length: 11 }, () => ({ records: 3, steps: 2, loss: 1, update })),
    }
    const strategy = createStrategy(name, parameters)
    const first = strategy.aggregate(input)
    expect(strategy.aggregate(input)).toEqual(first)
    expect([...global, ...update]).toEqual([1, 2, 3, 0.5, -0.25, 0])
    const second = strategy.aggregate({ ...input, global: first.global, state: first.state })
    expect(second.global.every(Number.isFinite)).toBe(true)
  })

  test('refuses NaN with its place, another length, and nobody', () => {
    const broken = same.map((client, place) => (place === 4 ? { update: [0, Number.NaN, 0] } : client))
    expect(refusal(() => run(name, parameters, broken))).toEqual({ kind: 'not-finite', party: 4, index: 1 })
    const short = same.map((client, place) => (place === 3 ? { update: [0] } : client))
    expect(refusal(() => run(name, parameters, short, [0, 0, 0]))).toMatchObject({ kind: 'length', party: 3 })
    expect(refusal(() => run(name, parameters, []))).toMatchObject({ kind: 'empty' })
  })

  test('scales by the rate of the server', () => {
    const one = run(name, parameters, same).global
    const half = run(name, { ...parameters, server_lr: 0.5 }, same).global
    expect(half[0]! * 2).toBeCloseTo(one[0]!, 12)
  })
})

describe('averages', () => {
  const clients = [
    { records: 30, update: [0.4, -0.2] },
    { records: 10, update: [0, 0.5] },
  ]

  test('weigh by records or alike', () => {
    expect([...run('fedavg', {}, clients).global]).toEqual([0.4 * 0.75, -0.2 * 0.75 + 0.5 * 0.25])
    expect(run('fedavg', { weights: 'uniform' }, clients).global[0]).toBeCloseTo(0.2, 15)
    expect(refusal(() => run('fedavg', {}, [{ records: 0, update: [1] }]))).toMatchObject({ kind: 'range' })
    expect(refusal(() => run('fedavg', { weights: 'votes' }, clients))).toMatchObject({ kind: 'range' })
  })

  test('of Adam are the published ones, without bias correction', () => {
    const state = { m: Float64Array.of(0.5, 0), v: Float64Array.of(0.04, 0.01) }
    const adam = { beta1: 0.9, beta2: 0.99, tau: 0.001, server_lr: 0.1 }
    const result = run('fedadam', adam, clients, [1, -1], state)
    expect(result.global[0]).toBeCloseTo(1.2373345925281882, 12)
    expect(result.global[1]).toBeCloseTo(-1.0024868162385343, 12)
    const yogi = run('fedyogi', adam, clients, [1, -1], state).state['v']!
    expect(yogi[0]).toBeCloseTo(0.04 - 0.01 * 0.09 * Math.sign(0.04 - 0.09), 14)
    const grad = run('fedadagrad', adam, clients, [1, -1], state).state['v']!
    expect(grad[0]).toBeCloseTo(0.04 + 0.09, 14)
  })

  test('with momentum remember', () => {
    const first = run('fedavgm', { momentum: 0.5 }, [{ update: [1] }])
    const second = run('fedavgm', { momentum: 0.5 }, [{ update: [1] }], [...first.global], first.state)
    expect([first.global[0], second.global[0]]).toEqual([1, 2.5])
  })

  test('of FedNova do not favour whoever took more steps, and are FedAvg where all took as many', () => {
    const uneven = [
      { records: 1, steps: 10, update: [10] },
      { records: 1, steps: 1, update: [-1] },
    ]
    expect(run('fedavg', {}, uneven).global[0]).toBe(4.5)
    expect(run('fednova', {}, uneven).global[0]).toBeCloseTo(0, 12)
    const even = clients.map((client) => ({ ...client, steps: 3 }))
    expect(run('fednova', {}, even).global[1]).toBeCloseTo(run('fedavg', {}, clients).global[1]!, 14)
    const without = [{ update: [1], steps: 0 }]
    expect(refusal(() => run('fednova', {}, without))).toEqual({ kind: 'range', party: 0, index: undefined })
  })

  test('of SCAFFOLD move the control variates by what each did', () => {
    const state = { c: Float64Array.of(0.1) }
    const two = [
      { steps: 2, update: [-0.4], control: Float64Array.of(0.3) },
      { steps: 4, update: [0.2], control: Float64Array.of(-0.1) },
    ]
    const { global, controls, state: next } = run('scaffold', { lr: 0.5, total_clients: 8 }, two, [0], state)
    expect(global[0]).toBeCloseTo(-0.1, 14)
    expect(controls!.map((control) => control[0])).toEqual([0.3 - 0.1 + 0.4, -0.1 - 0.1 - 0.1])
    expect(next['c']![0]).toBeCloseTo(0.1 + (0.3 - 0.2) / 8, 14)
  })

  test('of a buffer weigh old updates down', () => {
    const two = [
      { update: [1], staleness: 0 },
      { update: [1], staleness: 3 },
    ]
    expect(run('fedbuff', {}, two).global[0]).toBe(0.75)
    expect(refusal(() => run('fedbuff', {}, [{ update: [1], staleness: -1 }]))).toMatchObject({ kind: 'range' })
  })
})

describe('robust strategies', () => {
  test('take the middle', () => {
    const columns = [[1], [2], [3], [100]].map((update) => ({ update }))
    expect(run('median', {}, columns).global[0]).toBe(2.5)
    expect(run('median', {}, columns.slice(0, 3)).global[0]).toBe(2)
    expect(run('trimmed', { trim: 1 }, columns).global[0]).toBe(2.5)
    expect(refusal(() => run('trimmed', { trim: 2 }, columns))).toMatchObject({ kind: 'range' })
  })

  test('find honest updates among lies, where a mean does not', () => {
    const honest = fc.array(fc.double({ min: 0.9, max: 1.1, noNaN: true }), { minLength: 9, maxLength: 9 })
    fc.assert(
      fc.property(honest, fc.double({ min: -1e6, max: 1e6, noNaN: true }), (values, lie) => {
        const clients = [...values.map((value) => ({ update: [value] })), { update: [lie] }, { update: [lie] }]
        for (const name of ['median', 'trimmed', 'krum', 'multikrum', 'bulyan']) {
          const [got] = run(name, PARAMETERS[name] ?? {}, clients).global
          expect(got).toBeGreaterThanOrEqual(0.9 - 1e-9)
          expect(got).toBeLessThanOrEqual(1.1 + 1e-9)
        }
        const [center] = run('geomedian', { iterations: 100, nu: 1e-9 }, clients).global
        expect(Math.abs(center! - 1)).toBeLessThan(0.3)
      }),
      { numRuns: 30 },
    )
    const fooled = run('fedavg', {}, [...Array.from({ length: 9 }, () => ({ update: [1] })), { update: [-1e6] }])
    expect(fooled.global[0]).toBeLessThan(-9e4)
  })

  test('of Krum prefer the lower place among equals, and need enough members', () => {
    const five = [[0], [1], [1], [0], [9]].map((update) => ({ update }))
    expect(run('krum', { f: 1 }, five).selected).toEqual([0])
    expect(run('multikrum', { f: 1, m: 2 }, five).selected).toHaveLength(2)
    expect(refusal(() => run('krum', { f: 2 }, five))).toMatchObject({ kind: 'range' })
    expect(refusal(() => run('bulyan', { f: 1 }, five))).toMatchObject({ kind: 'range' })
    expect(refusal(() => run('multikrum', { f: 1, m: 6 }, five))).toMatchObject({ kind: 'range' })
  })

  test('of Bulyan average the values nearest the median of its picks', () => {
    const seven = [0, 1, 2, 3, 4, 5, 1000].map((value) => ({ update: [value] }))
    const { selected, global } = run('bulyan', { f: 1 }, seven)
    expect(selected).toHaveLength(5)
    expect(selected).not.toContain(6)
    const picks = selected!.map((place) => seven[place]!.update[0]!).sort((one, other) => one - other)
    const near = picks.toSorted((one, other) => Math.abs(one - picks[2]!) - Math.abs(other - picks[2]!) || one - other)
    expect(global[0]).toBeCloseTo((near[0]! + near[1]! + near[2]!) / 3, 12)
  })
})

describe('buckets', () => {
  const nine = Array.from({ length: 9 }, (_, who) => ({ update: [who / 10, -who / 5] }))
  const published = '34b36454cab2e7842c389f7d88ecb7df279e3918cbac07970d4cde496e70f4c8'

  test('are the published ones', () => {
    const result = run('bucketed', { sid: published, group: 3, clip: 1, rule: 'trimmed', trim: 1 }, nine)
    expect(result.buckets).toEqual([
      [0, 2, 7],
      [1, 5, 6],
      [3, 4, 8],
    ])
    expect(result.global[0]).toBeCloseTo(0.3314757303333053, 12)
  })

  test('hold everybody once, at least a group each, and nobody can choose them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 60 }), fc.integer({ min: 3, max: 6 }), (members, group) => {
        if (members < group) return
        const buckets = bucketsOf(nodePrimitives, hash('a session'), members, group)
        expect(buckets.flat().sort((one, other) => one - other)).toEqual(
          Array.from({ length: members }, (_, who) => who),
        )
        expect(Math.min(...buckets.map(({ length }) => length))).toBeGreaterThanOrEqual(group)
      }),
    )
    const [one, other] = ['a', 'b'].map((sid) => bucketsOf(nodePrimitives, hash(sid), 30, 3))
    expect(one).not.toEqual(other)
  })

  test('bound what one can do: clipping before the mean, the rule after it', () => {
    const lied = nine.map((client, who) => (who === 3 ? { update: [1e9, 1e9] } : client))
    const rule = { sid: published, group: 3, clip: 1, rule: 'centred', tau: 0.1, iterations: 3 }
    const [honest, fooled] = [nine, lied].map((clients) => run('bucketed', rule, clients).global[0]!)
    expect(Math.abs(honest! - fooled!)).toBeLessThan(0.11)
    const again = run('bucketed', rule, nine, [0, 0], { v: Float64Array.of(5, 5) })
    // From a far centre it comes no nearer than tau a step.
    expect(again.state['v']![0]).toBeGreaterThan(4.7)
  })

  const inThree = (values: readonly number[]): { update: number[] }[] => {
    const buckets = [
      [0, 2, 7],
      [1, 5, 6],
      [3, 4, 8],
    ]
    return nine.map((_, who) => ({ update: [values[buckets.findIndex((bucket) => bucket.includes(who))]!] }))
  }

  test('leave out what is furthest from the median (mean around median), and nothing where as many are not a minority', () => {
    const rule = { sid: published, group: 3, clip: 10, rule: 'nearest', trim: 1 }
    expect(run('bucketed', rule, inThree([1, 2, 9])).global[0]).toBeCloseTo(1.5, 12)
    // A median goes on to where attackers are; and of two that are as far the smaller stays.
    expect(run('bucketed', { ...rule, rule: 'median' }, inThree([1, 2, 9])).global[0]).toBeCloseTo(2, 12)
    expect(run('bucketed', rule, inThree([1, 2, 3])).global[0]).toBeCloseTo(1.5, 12)
    expect(run('bucketed', { ...rule, trim: 0 }, inThree([1, 2, 9])).global[0]).toBeCloseTo(4, 12)
    expect(refusal(() => run('bucketed', { ...rule, trim: 2 }, inThree([1, 2, 9])))).toMatchObject({ kind: 'range' })
  })

  test('are averaged over rounds by momentum, as FedAvgM has it', () => {
    const rule = { sid: published, group: 3, clip: 10, rule: 'median', momentum: 0.9, server_lr: 0.5 }
    const first = run('bucketed', rule, inThree([1, 2, 9]))
    expect([first.state['m']![0], first.global[0]]).toEqual([2, 1])
    const second = run('bucketed', rule, inThree([4, 5, 6]), [...first.global], first.state)
    expect(second.state['m']![0]).toBeCloseTo(0.9 * 2 + 5, 12)
    expect(second.global[0]).toBeCloseTo(1 + 0.5 * 6.8, 12)
    // And beside the centre of centred clipping.
    const centred = { ...rule, rule: 'centred', tau: 1, iterations: 1 }
    expect(Object.keys(run('bucketed', centred, nine).state).sort()).toEqual(['m', 'v'])
    expect(run('bucketed', { ...rule, momentum: 0 }, nine).state).toEqual({})
    expect(refusal(() => run('bucketed', { ...rule, momentum: 1 }, nine))).toMatchObject({ kind: 'range' })
  })

  test('weigh members by their records, up to a number of them', () => {
    const rule = { sid: published, group: 9, clip: 10, rule: 'median', most_records: 100 }
    const clients = nine.map((_, who) => ({ update: [who === 0 ? 8 : 0], records: who === 0 ? 1e9 : 50 }))
    expect(run('bucketed', rule, clients).global[0]).toBeCloseTo(8 / 5, 12)
    expect(run('bucketed', { ...rule, most_records: 50 }, clients).global[0]).toBeCloseTo(8 / 9, 12)
    expect(refusal(() => run('bucketed', { ...rule, most_records: 0 }, clients))).toMatchObject({ kind: 'range' })
    expect([bucketWeight({}, 3), bucketWeight({ most_records: 12 }, 3), bucketWeight({ most_records: 2 }, 3)]).toEqual([
      1, 0.25, 1,
    ])
    // Nobody ends a round by a weight that cannot be.
    for (const weight of [0, -1, 3.1, Number.NaN])
      expect(bucketMean(Float64Array.of(6), weight, 3)).toEqual(Float64Array.of(0))
    expect(bucketMean(Float64Array.of(6), 3, 3)).toEqual(Float64Array.of(2))
  })

  test('say how many attackers they bear: g (2f + 1) members for f of them', () => {
    expect([9, 14, 15, 20, 21].map((members) => bearableAttackers(members, 3))).toEqual([1, 1, 2, 2, 3])
    expect(refusal(() => run('bucketed', { ...PARAMETERS['bucketed'], group: 2 }, nine))).toMatchObject({
      kind: 'range',
    })
    expect(refusal(() => run('bucketed', { ...PARAMETERS['bucketed'], group: 10 }, nine))).toMatchObject({
      kind: 'range',
    })
    expect(refusal(() => run('bucketed', { ...PARAMETERS['bucketed'], sid: 'ab' }, nine))).toMatchObject({
      kind: 'length',
    })
  })
})

test('a strategy that is none is refused, and each says what it must see', () => {
  expect(refusal(() => createStrategy('fedmax'))).toMatchObject({ kind: 'range' })
  const sees = STRATEGIES.map((name) => createStrategy(name, PARAMETERS[name]).sees)
  expect(new Set(sees)).toEqual(new Set(['sum', 'each', 'buckets']))
})
