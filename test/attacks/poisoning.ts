/** E3: two of fifteen members send poison. Bearing f of them under secure sums takes g (2f + 1) members: 15 at g = 3. */
import { createSeeded } from '../../src/data/index.ts'
import { LocalPool, partition, RoundMath, Simulation } from '../../src/federated/index.ts'
import type { SimulationSpec } from '../../src/federated/index.ts'
import { hospitalRows } from '../federated/support/hospitals.ts'
import { least, most } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'
import { BAD, CLIENTS, GUARDED, overTables } from './poison-sites.ts'

type Kind = NonNullable<SimulationSpec['attack']>['kind']

/** Accuracy on rows that no client has, and who was refused. */
function trained(changes: object, attack: Kind | undefined): Promise<{ accuracy: number; refused: number }> {
  return overTables(changes, { all: hospitalRows(7, 900) }, async (checked, { all }) => {
    const parts = partition(await all.labels(), CLIENTS, undefined, createSeeded(3, 'partition'))
    const trainers = await Promise.all(parts.map((places, index) => all.virtual(`client-${index}`, places)))
    const pool = new LocalPool(trainers, new RoundMath(checked, CLIENTS), 5)
    const spec = {
      seed: 5,
      masks: false,
      ...(attack === undefined ? {} : { attack: { kind: attack, share: BAD / CLIENTS + 0.001 } }),
    }
    const simulation = new Simulation(checked, pool, spec)
    const lines = await simulation.run()
    const { accuracy = 0 } = await pool.metrics(simulation.state, CLIENTS - 1)
    return { accuracy, refused: Math.max(0, ...lines.map(({ refused }) => refused.length)) }
  })
}

const MEAN = { strategy: { name: 'fedavg', weights: 'uniform' } }

export const poisoning: Attack = {
  id: 'E3',
  name: 'poison from two of fifteen members',
  async control() {
    const { accuracy } = await trained(MEAN, 'sign-flip')
    const clean = await trained(MEAN, undefined)
    return [most('accuracy of the mean under flipped signs', accuracy, 0.4), least('and without', clean.accuracy, 0.75)]
  },
  async defended(size: Size) {
    const clean = await trained(MEAN, undefined)
    const kinds: Kind[] = size === 'all' ? ['sign-flip', 'random', 'alie', 'zeros'] : ['sign-flip']
    const outcomes: Outcome[] = []
    for (const kind of kinds) {
      const { accuracy } = await trained(GUARDED, kind)
      outcomes.push(least(`accuracy of buckets under ${kind} (clean less 0.03)`, accuracy, clean.accuracy - 0.03))
    }
    // Whoever is refused is gone from its bucket, and with groups of three no bucket may lose one.
    const nan = await trained(MEAN, 'nan')
    outcomes.push(least('members whose NaN was refused by name', nan.refused, BAD))
    return outcomes
  },
}
