import { describe, expect, it } from 'vitest'
import { hash, refusals, results } from './vectors-support.ts'

describe('federated suites', () => {
  it('shamir: shares in both spellings', async () => {
    const coefficients = [hash('coefS3/0'), hash('coefS3/1')]
    const [split] = await results('shamir', [{ op: 'split', secret: hash('s3'), n: 4, t: 3, coefficients }])
    const shares = split!['shares'] as { x: number; y: string }[]
    expect(split!['appended']).toEqual(shares.map(({ x, y }) => `${y}0${x}`))
    const list = await results('shamir', [
      { op: 'combine', shares: shares.slice(1) },
      { op: 'combine', shares: (split!['appended'] as string[]).slice(0, 3) },
      { op: 'combine', shares: [shares[0], shares[0]] },
      { op: 'combine', shares: [{ x: 0, y: '00' }, shares[0]] },
      { op: 'split', secret: '00', n: 2, t: 3, coefficients: ['00', '00'] },
    ])
    expect(list.slice(0, 2).map(({ secret }) => secret)).toEqual([hash('s3'), hash('s3')])
    expect(refusals(list.slice(2))).toEqual(['duplicate-share 1', 'range 0', 'threshold'])
  })

  it('quantize: integers, bits and bytes', async () => {
    const list = await results('quantize', [
      { op: 'round', f: 0, c: 2, x: [0.25, 0.25, -0.25, 2, -2], u: [0.24, 0.25, 0.8, 0.9, 0.9] },
      { op: 'pack', bits: 17, words: [1, 2, 131071] },
      { op: 'unpack', bits: 17, d: 3, bytes: '01000400fcff07' },
      { op: 'decode', bits: 8, f: 1, words: [1, 255] },
      { op: 'bits', n: 10, c: 1, f: 16, noise_sd: 262144 },
      { op: 'round', f: 0, c: 2, x: [0, 'Infinity'] },
      { op: 'round', f: 0, c: 2, x: [0, 0, 2.1] },
      { op: 'pack', bits: 3, words: [1, 8] },
      { op: 'unpack', bits: 3, d: 1, bytes: 'ff' },
      { op: 'unpack', bits: 3, d: 9, bytes: 'ff' },
      { op: 'bits', n: 10, c: 1e9, f: 16 },
    ])
    expect(list.slice(0, 5).map(({ q, bytes, words, values, bits }) => q ?? bytes ?? words ?? values ?? bits)).toEqual([
      [1, 0, -1, 2, -2],
      '01000400fcff07',
      [1, 2, 131071],
      [0.5, -0.5],
      23,
    ])
    expect(refusals(list.slice(5))).toEqual([
      'not-finite 1',
      'out-of-range 2',
      'range 1',
      'padding',
      'length',
      'modulus',
    ])
  })

  it('privacy: what steps cost, and what is out of range', async () => {
    const one = { q: 0.1, sigma: 2, steps: 100, delta: 1e-3 }
    const [rdp, orders, events, nothing, everything] = await results('dp-rdp', [
      one,
      { ...one, orders: [2, 6] },
      {
        events: [
          { ...one, steps: 40 },
          { ...one, steps: 60 },
        ],
        delta: 1e-3,
      },
      { ...one, steps: 0 },
      { ...one, sigma: 0 },
    ])
    expect(rdp).toMatchObject({ order: 6.1 })
    expect(rdp!['epsilon']).toBeCloseTo(1.799003, 5)
    expect(events!['epsilon']).toBeCloseTo(rdp!['epsilon'] as number, 9)
    expect(orders!['rdp']).toHaveLength(2)
    expect([nothing!['epsilon'], everything!['epsilon']]).toEqual([0, 'Infinity'])
    expect((await results('dp-pld', [one]))[0]!['epsilon']).toBeCloseTo(1.5438, 1)
    expect((await results('dp-gauss', [{ sigma: 4, steps: 50, delta: 1e-3 }]))[0]!['epsilon']).toBeCloseTo(6.452429, 5)
    const noise = { n: 10, C: 1, f: 6, d: 1e5, z: 4, steps: 50, delta: 1e-3 }
    const [shares, bad] = await results('dp-distributed', [noise, { ...noise, q: 0.5, mechanism: 'skellam' }])
    expect(shares!['epsilon']).toBeCloseTo(27.889407, 5)
    expect(
      refusals([
        bad!,
        ...(await results('dp-rdp', [
          { ...one, q: 2 },
          { ...one, delta: 0 },
        ])),
      ]),
    ).toEqual(['range', 'range', 'range'])
  })

  it('dp-sampler: the same samples from the same seed, counted', async () => {
    const input = { sigma: 3, count: 5000, seed: hash('seed'), edges: [-3, 0, 3] }
    const [one, again] = await results('dp-sampler', [input, input])
    const head = one!['head'] as number[]
    expect(head).toHaveLength(4096)
    expect(again!['head']).toEqual(head)
    const counts = one!['counts'] as number[]
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(5000)
    expect(counts[0]).toBeLessThan(counts[1]!)
    expect(one!['sum_squares']).toBeGreaterThan(5000 * 8)
    expect(
      refusals(
        await results('dp-sampler', [
          { ...input, sigma: -1 },
          { ...input, edges: [1, 1] },
        ]),
      ),
    ).toEqual(['range', 'range'])
  })

  it('clip and aggregate: as published', async () => {
    const rounds = Array.from({ length: 10 }, () => ({ norms: [1, 1, 1, 1] }))
    const list = await results('clip', [
      { op: 'l2', x: [0, 0], C: 1 },
      { op: 'adaptive', C0: 0.1, eta: 0.2, quantile: 0.5, rounds },
      { op: 'split', z: 1, sigma_b: 5 },
      { op: 'split', z: 1, sigma_b: 0.5 },
      { op: 'l2', x: [0, 'NaN'], C: 1 },
    ])
    expect(list[0]).toMatchObject({ norm: 0, factor: 1, bit: 1, clipped: [0, 0] })
    expect((list[1]!['C'] as number[]).at(-1)).toBeCloseTo(0.27182818284590476, 12)
    expect(list[2]!['z_delta']).toBeCloseTo(1.005037815259212, 12)
    expect(refusals(list.slice(3))).toEqual(['range', 'not-finite 1'])
    const clients = [
      { records: 30, update: [0.4, -0.2] },
      { records: 10, update: [0, 0.5] },
    ]
    const broken = [clients[0], { records: 1, update: [0, '-Infinity'] }]
    const [average, refused] = await results('aggregate', [
      { strategy: 'fedavg', params: {}, global: [1, 1], clients },
      { strategy: 'fedavg', params: {}, global: [1, 1], clients: broken },
    ])
    expect(average).toMatchObject({ state: {} })
    expect(refusals([refused!])).toEqual(['not-finite 1 1'])
  })
})
