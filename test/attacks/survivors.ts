/** E17: two sets of survivors, whose difference is one site. E4: updates that were sent before, twice, or not made at all. */
import { createSeeded } from '../../src/data/index.ts'
import { createStrategy, freeRiders, l2Norm } from '../../src/federated/index.ts'
import { addContributions } from '../../src/federated/rounds/layout.ts'
import { crypto, header, identityOf, member, names, readOut } from '../federated/support/round.ts'
import { SecureAggregator } from '../../src/federated/index.ts'
import type { RoundHeader, SealedShares, SecureClient, Survivor } from '../../src/federated/index.ts'
import { codeOf, least, most } from './attack.ts'
import type { Attack } from './attack.ts'
import { leftOut } from './second-sum.ts'

const VALUES = [
  [5, 1, -4],
  [7, 2, 9],
  [-3, 8, 2],
  [11, -6, 1],
  [2, 2, 2],
]
const ROUND: RoundHeader = header({ d: 3, t: 3 })

/** Up to the masked vectors, with members in roster order. */
function upToVectors(): { readonly members: SecureClient[]; readonly survivors: Survivor[] } {
  const order = names(5)
  const members = order.map((name, place) => member(name, 5, ROUND, VALUES[place]!))
  const aggregator = new SecureAggregator({ crypto }, { header: ROUND, members: order.map(identityOf) })
  for (const { advertisement } of members) aggregator.advertise(advertisement)
  const roster = aggregator.closeAdvertisements()
  for (const [position, one] of members.entries()) aggregator.shares(position, one.roster(roster))
  const sealed: ReadonlyMap<number, readonly SealedShares[]> = aggregator.closeShares()
  const survivors = [...sealed].map(([position, list]) => {
    const { digest, signature } = readOut(members[position]!.ciphertexts(list))
    return { position, digest, signature }
  })
  return { members, survivors }
}

export const twoSets: Attack = {
  id: 'E17',
  name: 'two sets of survivors for two halves',
  control: async () => {
    // Members that keep no account of what they signed: the very rounds of weft, with a ledger that claims nothing.
    const { found, real } = await leftOut(false)
    return [{ what: 'records of one site, from the difference of two sums', value: found ?? -1, holds: found === real }]
  },
  defended: async () => {
    const { members, survivors } = upToVectors()
    const less = survivors.filter(({ position }) => position !== 4)
    const signatures = members.flatMap((one, position) => {
      const set = position < 2 ? survivors : less
      return position === 4 ? [] : [{ position, signature: one.survivors(set).signature }]
    })
    const ends = members.slice(0, 4).map((one) => codeOf(() => one.consistency(signatures)))
    // And in another round from the same model, over whole rounds: who signed will not sign another set.
    const { found } = await leftOut(true)
    return [
      least('members that end the round', ends.filter((end) => end === 'bad-signature').length, 4),
      most('shares that were sent', ends.filter((end) => end === 'done').length, 0),
      most('second sums from one model', Number(found !== undefined), 0),
    ]
  },
}

/** Updates of `count` members of a run, of which some only pretend. */
function updates(
  seed: number,
  count: number,
  last: Float64Array,
  riders: ReadonlyMap<number, 'zeros' | 'echo'>,
): Float64Array[] {
  const seeded = createSeeded(seed, 'riders')
  return Array.from({ length: count }, (_, index) => {
    const kind = riders.get(index)
    if (kind === 'zeros') return new Float64Array(last.length)
    if (kind === 'echo') return last.map((value) => value + 1e-4 * seeded.normal())
    return last.map((value) => 0.5 * value + 0.3 * seeded.normal())
  })
}

export const freeRiding: Attack = {
  id: 'E4',
  name: 'free riders and double submission',
  control: () => {
    // Sums in the clear, by the same code as a plan with "secagg":"off" has them: a vector counts as often as it comes.
    const once = VALUES.map((row) => ({ reals: Float64Array.from(row), wide: [] }))
    const { reals } = addContributions([...once, once[0]!], { reals: 3, wide: 0 })
    // And a mean takes who did nothing for one that worked: the model moves by so much less.
    const last = Float64Array.from({ length: 200 }, () => createSeeded(1, 'last').normal())
    const lazy = new Map<number, 'zeros'>([0, 1, 2, 3, 4].map((rider) => [rider, 'zeros']))
    const moved = (riders: ReadonlyMap<number, 'zeros' | 'echo'>): number => {
      const clients = updates(1, 10, last, riders).map((update) => ({ records: 1, update }))
      const mean = createStrategy('fedavg', { weights: 'uniform' })
      return l2Norm(mean.aggregate({ global: new Float64Array(200), state: {}, clients }).global)
    }
    return Promise.resolve([
      least('the sum with one vector twice, in the clear', reals[0]!, 22 + 5),
      most('how far five idle of ten let the model move, of what all would', moved(lazy) / moved(new Map()), 0.8),
    ])
  },
  defended: (size) => {
    const { members, survivors } = upToVectors()
    const order = names(5)
    const aggregator = new SecureAggregator({ crypto }, { header: ROUND, members: order.map(identityOf) })
    for (const { advertisement } of members) aggregator.advertise(advertisement)
    aggregator.advertise(members[0]!.advertisement)
    const double = codeOf(() => aggregator.closeAdvertisements())
    const replay = new SecureAggregator(
      { crypto },
      { header: header({ ...ROUND, round: 9 }), members: order.map(identityOf) },
    )
    for (const { advertisement } of members) replay.advertise(advertisement)
    const old = codeOf(() => replay.closeAdvertisements())
    void survivors
    const last = Float64Array.from({ length: 200 }, () => createSeeded(1, 'last').normal())
    const flagged = freeRiders(
      updates(
        1,
        10,
        last,
        new Map([
          [3, 'zeros'],
          [7, 'echo'],
        ]),
      ),
      last,
    )
    const runs = Array.from(
      { length: size === 'all' ? 50 : 10 },
      (_, run) => freeRiders(updates(run, 10, last, new Map()), last).length,
    )
    return Promise.resolve([
      { what: `submitted twice: ${double}`, value: 1, holds: double === 'duplicate-identity' },
      { what: `of an earlier round: ${old}`, value: 1, holds: old === 'bad-signature' },
      {
        what: `flagged where updates are seen: ${flagged.join(', ')}`,
        value: flagged.length,
        holds: flagged.join() === '3,7',
      },
      most('honest members that were flagged', Math.max(...runs), 0),
    ])
  },
}
