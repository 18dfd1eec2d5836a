import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  auditRound,
  createGraph,
  decodeWords,
  FederatedError,
  nodePrimitives,
  pack,
  SecureAggregator,
} from '../../src/federated/index.ts'
import type { Transcript } from '../../src/federated/index.ts'
import { noblePrimitives } from './support/noble.ts'
import { hash, header, identityOf, member, names, plainSum, readOut, runRound, STAGES } from './support/round.ts'
import type { RoundRecord, Stage } from './support/round.ts'

const FIVE = [
  [1, -2, 3, -524_288, 7],
  [0, 5, -5, 524_288, -7],
  [9, 9, 9, 9, 9],
  [-100, 200, -300, 400, -500],
  [11, 0, 0, 0, 1],
]

function refused(action: () => unknown): { kind: string; party: number | undefined } | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof FederatedError)) throw error
    return { kind: error.kind, party: error.party }
  }
}

function bytesOf({ shared, survivors, sum }: RoundRecord): string[] {
  const sealed = [...shared.values()].flatMap((message) => message.sealed.map(({ data }) => data))
  const all = [...sealed, ...survivors.flatMap(({ digest, signature }) => [digest, signature]), sum.digest]
  return all.map((bytes) => Buffer.from(bytes).toString('hex'))
}

function transcript(round: RoundRecord, t: number, bits: number): Transcript {
  return {
    t,
    bits,
    d: round.sum.words.length,
    sid: round.sid,
    roster: round.roster,
    sharers: new Set(round.shared.keys()),
    survivors: new Set(round.survivors.map(({ position }) => position)),
    masked: round.vectors,
    digests: new Map(round.survivors.map(({ position, digest }) => [position, digest])),
    reveals: round.reveals,
  }
}

describe('the sum', () => {
  test('is exact for whoever sent a vector, whoever fell silent at any stage', () => {
    const cases = fc.record({
      values: fc.array(fc.array(fc.integer({ min: -600, max: 600 }), { minLength: 3, maxLength: 3 }), {
        minLength: 5,
        maxLength: 7,
      }),
      bits: fc.integer({ min: 15, max: 32 }),
      silent: fc.array(fc.tuple(fc.nat(6), fc.constantFrom(...STAGES)), { maxLength: 2 }),
    })
    fc.assert(
      fc.property(cases, ({ values, bits, silent }) => {
        const last: Stage[] = values.map(() => 'unmask')
        for (const [who, stage] of silent) last[who % values.length] = stage
        const t = Math.floor(values.length / 2) + 1
        const inSum = values.filter((_, place) => STAGES.indexOf(last[place]!) >= STAGES.indexOf('mask'))
        const round = header({ t, bits, f: 6, c: 10, d: 3 })
        const action = (): RoundRecord => runRound(round, values, last)
        const ends = values.filter((_, place) => last[place] === 'unmask').length
        if (inSum.length < Math.max(3, t) || ends < t) expect(refused(action)?.kind).toBe('threshold')
        else expect([...action().sum.words]).toEqual(plainSum(inSum, bits))
      }),
      { numRuns: 25 },
    )
  })

  const rows: readonly [Stage, boolean][] = [
    ['none', false],
    ['advertise', false],
    ['share', false],
    ['mask', true],
    ['consistency', true],
  ]
  test.each(rows)('of five with one whose last message is "%s": is its vector in it? %s', (stage, counted) => {
    const last: Stage[] = ['unmask', 'unmask', stage, 'unmask', 'unmask']
    for (const attempt of [1, 2]) {
      const round = runRound(header({ round: attempt }), FIVE, last)
      expect([...round.sum.words]).toEqual(plainSum(counted ? FIVE : FIVE.filter((_, place) => place !== 2), 32))
      expect(round.sum.s.size).toBe(stage === 'share' ? 1 : 0)
      expect(round.sum.blamed).toEqual([])
    }
  })

  test('is what the encoding says of reals', () => {
    const { sum } = runRound(header(), FIVE)
    expect([...decodeWords(sum.words, 32, 16)][3]).toBe(409 / 2 ** 16)
  })

  test('is the same with packed bits, on a sparse graph, and by other primitives', () => {
    const values = Array.from({ length: 9 }, (_, who) => [who, -who, 40 * who])
    const silent: Stage[] = values.map((_, place) => (place === 4 ? 'share' : 'unmask'))
    const expected = plainSum(
      values.filter((_, place) => place !== 4),
      22,
    )
    const round = header({ t: 4, d: 3, bits: 22, f: 8, c: 4 })
    const graph = { kind: 'regular', degree: 4 } as const
    const sparse = runRound(round, values, silent, { graph })
    expect([...sparse.sum.words]).toEqual(expected)
    for (const { sealed } of sparse.shared.values()) expect(sealed).toHaveLength(4)
  })

  test('is made by noble as by node:crypto: every byte that is sent is the same', () => {
    const silent: Stage[] = ['unmask', 'share', 'unmask', 'unmask']
    const [node, noble] = [nodePrimitives, noblePrimitives].map((crypto) =>
      runRound(header(), FIVE.slice(0, 4), silent, { crypto }),
    )
    expect([...noble!.sum.words]).toEqual(plainSum([FIVE[0]!, FIVE[2]!, FIVE[3]!], 32))
    expect(noble!.vectors).toEqual(node!.vectors)
    expect(bytesOf(noble!)).toEqual(bytesOf(node!))
  })

  test('masks nothing twice: the same update in another round looks unlike', () => {
    const [one, other] = [1, 2].map((round) => runRound(header({ round }), FIVE).vectors.get(0)!)
    expect(Buffer.compare(one!, other!)).not.toBe(0)
  })
})

describe('a graph of neighbours', () => {
  test('follows from the session alone, is mutual, and gives each its degree', () => {
    const graph = createGraph(nodePrimitives, { kind: 'regular', degree: 8 }, 50, hash('sid'))
    const again = createGraph(nodePrimitives, { kind: 'regular', degree: 8 }, 50, hash('sid'))
    const other = createGraph(nodePrimitives, { kind: 'regular', degree: 8 }, 50, hash('another sid'))
    const all = Array.from({ length: 50 }, (_, position) => graph.holders(position))
    expect(all).toEqual(all.map((_, position) => again.holders(position)))
    expect(all).not.toEqual(all.map((_, position) => other.holders(position)))
    for (const [position, holders] of all.entries()) {
      expect(holders).toHaveLength(9)
      expect(holders).toContain(position)
      for (const holder of holders) expect(all[holder]).toContain(position)
    }
  })
})

describe('an auditor', () => {
  const round = runRound(header(), FIVE, ['unmask', 'unmask', 'share', 'unmask', 'unmask'])
  const given = transcript(round, 3, 32)

  test('comes to the same sum and digest', () => {
    const audited = auditRound(nodePrimitives, given)
    expect(audited.words).toEqual(round.sum.words)
    expect(audited.digest).toEqual(round.sum.digest)
    expect(audited.blamed).toEqual([])
  })

  test('names the holder of one wrong share, and the owner where too many are wrong', () => {
    const spoiled = (holders: readonly number[]): Transcript => ({
      ...given,
      reveals: new Map(
        [...given.reveals].map(([holder, reveal]) => [
          holder,
          new Map(
            [...reveal].map(([owner, { kind, share }]) => {
              const wrong = holders.includes(holder) && owner === 0
              return [owner, { kind, share: wrong ? share.map((byte) => byte ^ (holder + 0x51)) : share }]
            }),
          ),
        ]),
      ),
    })
    for (const holder of [0, 3]) {
      const audited = auditRound(nodePrimitives, spoiled([holder]))
      expect(audited.blamed).toEqual([holder])
      expect(audited.words).toEqual(round.sum.words)
    }
    expect(refused(() => auditRound(nodePrimitives, spoiled([0, 3])))).toEqual({ kind: 'share', party: 0 })
  })

  test('refuses vectors that are not those that were signed, and sets that cannot be', () => {
    const changed = given.masked.get(1)!.map((byte, index) => (index === 0 ? byte ^ 1 : byte))
    const masked = new Map(given.masked).set(1, changed)
    expect(refused(() => auditRound(nodePrimitives, { ...given, masked }))).toEqual({ kind: 'digest', party: 1 })
    const cut = new Map(given.masked).set(1, given.masked.get(1)!.subarray(1))
    expect(refused(() => auditRound(nodePrimitives, { ...given, masked: cut }))?.kind).toBe('digest')
    const short = changed.subarray(4)
    const digests = new Map(given.digests).set(1, hash('x'))
    digests.set(1, new Uint8Array(nodePrimitives.sha256(short)))
    const both = { ...given, masked: new Map(given.masked).set(1, short), digests }
    expect(refused(() => auditRound(nodePrimitives, both))).toEqual({ kind: 'length', party: 1 })
    const sharers = new Set([0, 1, 3])
    expect(refused(() => auditRound(nodePrimitives, { ...given, sharers }))).toEqual({ kind: 'survivors', party: 4 })
    const two = { ...given, survivors: new Set([0, 1]) }
    expect(refused(() => auditRound(nodePrimitives, two))?.kind).toBe('threshold')
    expect(refused(() => auditRound(nodePrimitives, { ...given, d: 0 }))?.kind).toBe('empty')
  })

  test('refuses a reveal of the share that must stay', () => {
    const b = given.reveals.get(0)!.get(0)!
    const wrong = new Map(given.reveals).set(0, new Map(given.reveals.get(0)).set(0, { ...b, kind: 's' }))
    expect(refused(() => auditRound(nodePrimitives, { ...given, reveals: wrong }))).toEqual({
      kind: 'survivors',
      party: 0,
    })
  })

  test('finds padding that is not zero', () => {
    const odd = runRound(
      header({ bits: 23, d: 5, c: 4 }),
      FIVE.map((row) => row.map((value) => value % 1000)),
    )
    const packed = odd.vectors.get(0)!.slice()
    packed[packed.length - 1]! |= 0x80
    const base = transcript(odd, 3, 23)
    const changed = {
      ...base,
      masked: new Map(base.masked).set(0, packed),
      digests: new Map(base.digests).set(0, new Uint8Array(nodePrimitives.sha256(packed))),
    }
    expect(refused(() => auditRound(nodePrimitives, changed))).toEqual({ kind: 'padding', party: 0 })
  })
})

describe('an aggregator', () => {
  /** Collected up to the vectors. */
  function collecting(): { aggregator: SecureAggregator; clients: ReturnType<typeof member>[] } {
    const round = header()
    const aggregator = new SecureAggregator(
      { crypto: nodePrimitives },
      { header: round, members: names(5).map(identityOf) },
    )
    const clients = names(5).map((name, place) => member(name, 5, round, FIVE[place]!))
    for (const client of clients) aggregator.advertise(client.advertisement)
    const roster = aggregator.closeAdvertisements()
    for (const [position, client] of clients.entries()) aggregator.shares(position, client.roster(roster))
    return { aggregator, clients }
  }

  test('does not add a vector twice, unsigned, or after the survivors are told', () => {
    const { aggregator, clients } = collecting()
    const sealed = aggregator.closeShares()
    const vectors = clients.map((client, position) => readOut(client.ciphertexts(sealed.get(position)!)))
    const [first, second, third, fourth] = vectors
    aggregator.masked(0, first!.packed, first!)
    expect(refused(() => aggregator.masked(0, first!.packed, first!))).toEqual({ kind: 'replay', party: 0 })
    expect(refused(() => aggregator.masked(1, first!.packed, first!))).toEqual({ kind: 'bad-signature', party: 1 })
    expect(refused(() => aggregator.masked(1, first!.packed, second!))).toEqual({ kind: 'digest', party: 1 })
    expect(refused(() => aggregator.closeVectors())).toMatchObject({ kind: 'threshold' })
    aggregator.masked(1, second!.packed, second!)
    aggregator.masked(2, third!.packed, third!)
    const survivors = aggregator.closeVectors()
    expect(survivors.map(({ position }) => position)).toEqual([0, 1, 2])
    expect(refused(() => aggregator.masked(3, fourth!.packed, fourth!))?.kind).toBe('replay')
  })

  test('tells a message that is early from one that is late, and who sends for another', () => {
    const { aggregator, clients } = collecting()
    expect(refused(() => aggregator.finish())?.kind).toBe('order')
    expect(refused(() => aggregator.advertise(clients[0]!.advertisement))?.kind).toBe('replay')
    const message = { sid: hash('another session'), index: 0, sealed: [] }
    expect(refused(() => aggregator.shares(1, message))).toEqual({ kind: 'survivors', party: 1 })
  })

  test('ends the round when too few give their shares, and publishes nothing', () => {
    const last: Stage[] = ['unmask', 'consistency', 'consistency', 'unmask', 'consistency']
    expect(refused(() => runRound(header(), FIVE, last))?.kind).toBe('threshold')
  })

  test('holds packed sums that auditors can hash', () => {
    const { sum } = runRound(header({ bits: 23, c: 8 }), FIVE)
    expect(sum.digest).toEqual(nodePrimitives.sha256(pack(sum.words, 23)))
  })
})
