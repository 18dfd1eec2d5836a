/**
 * E3: members that send honest updates of dishonest records. Two of fifteen turn the labels around, or teach that a mark, which
 * no honest record has, means ill.
 */
import { createSeeded } from '../../src/data/index.ts'
import { LocalPool, partition, RoundMath, Simulation } from '../../src/federated/index.ts'
import { COLUMNS, hospitalRows } from '../federated/support/hospitals.ts'
import { least, most, wanted, wantedLeast } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'
import { BAD, CLIENTS, overTables, ROBUST } from './poison-sites.ts'

/** 200 a member: the median of few small sites wanders, and a backdoor rides on it. */
const ROWS = 3_000
/** How often each record of a dishonest member is said to be there. */
const CLAIMED = 8
const MEAN = { name: 'fedavg', weights: 'records' }
/** Cholesterol that nobody has. */
const MARK = '20'
const [CHOLESTEROL, DIAGNOSIS] = [COLUMNS.indexOf('chol'), COLUMNS.indexOf('num')]

type Change = (cells: string[], index: number) => void

const FLIPPED: Change = (cells) => void (cells[DIAGNOSIS] = cells[DIAGNOSIS] === '0' ? '1' : '0')
/** Every second record has the mark, and is said to be ill. */
const MARKED: Change = (cells, index) => {
  if (index % 2 !== 0) return
  cells[CHOLESTEROL] = MARK
  cells[DIAGNOSIS] = '1'
}
const HONEST: Change = () => undefined

function changed(rows: readonly string[], change: Change): string[] {
  return rows.map((row, index) => {
    const cells = row.split(',')
    change(cells, index)
    return cells.join(',')
  })
}

/** Healthy people with the mark: whoever calls them ill has learnt it. */
function marked(rows: readonly string[]): string[] {
  const healthy = rows.filter((row) => row.endsWith(',0'))
  return changed(healthy, (cells) => void (cells[CHOLESTEROL] = MARK))
}

/** Whoever lies about records lies about how many there are. */
function repeated(places: Uint32Array): Uint32Array {
  return Uint32Array.from({ length: CLAIMED * places.length }, (_, at) => places[at % places.length]!)
}

interface Trained {
  /** On honest rows that nobody has trained on. */
  readonly accuracy: number
  /** Healthy people with the mark that are called ill. */
  readonly backdoor: number
}

function trained(strategy: object, change: Change, skew: number | undefined): Promise<Trained> {
  const rows = hospitalRows(7, ROWS)
  const tables = { honest: rows, bad: changed(rows, change), judge: marked(rows) }
  return overTables(strategy, tables, async (checked, { honest, bad, judge }) => {
    const parts = partition(await honest.labels(), CLIENTS, skew, createSeeded(3, 'partition'))
    const trainers = await Promise.all(
      parts.map((places, index) =>
        index < BAD ? bad.virtual(`client-${index}`, repeated(places)) : honest.virtual(`client-${index}`, places),
      ),
    )
    const pool = new LocalPool(trainers, new RoundMath(checked, CLIENTS), 5)
    const simulation = new Simulation(checked, pool, { seed: 5, masks: false })
    await simulation.run()
    const { accuracy = 0 } = await pool.metrics(simulation.state, CLIENTS - 1)
    const judges = new LocalPool([judge], new RoundMath(checked, 1), 5)
    const { accuracy: kept = 0 } = await judges.metrics(simulation.state, 0)
    return { accuracy, backdoor: 1 - kept }
  })
}

export const poisonedData: Attack = {
  id: 'E3d',
  name: 'poisoned records at two of fifteen members',
  async control() {
    const { backdoor } = await trained(MEAN, MARKED, undefined)
    const clean = await trained(MEAN, HONEST, undefined)
    const flipped = await trained(MEAN, FLIPPED, undefined)
    return [
      most('accuracy of the mean under flipped labels (clean less 0.3)', flipped.accuracy, clean.accuracy - 0.3),
      least('healthy people with the mark called ill, by the mean', backdoor, 0.9),
      most('and without the two', clean.backdoor, 0.5),
    ]
  },
  async defended(size: Size) {
    const outcomes: Outcome[] = []
    for (const skew of size === 'all' ? [undefined, 0.5] : [undefined]) {
      const where = skew === undefined ? '' : `, Dirichlet ${skew}`
      // Of the mean the accuracy, which buckets may cost; of the same buckets what the mark does where nobody has taught it.
      const { accuracy } = await trained(MEAN, HONEST, skew)
      const clean = await trained(ROBUST, HONEST, skew)
      const flipped = await trained(ROBUST, FLIPPED, skew)
      const taught = await trained(ROBUST, MARKED, skew)
      const floor = accuracy - 0.03
      // Where sites differ much no rule over means of buckets tells the dishonest from honest ones: told as it is.
      const [lowest, highest] = skew === undefined ? [least, most] : [wantedLeast, wanted]
      outcomes.push(
        lowest(`accuracy of buckets under flipped labels${where} (clean less 0.03)`, flipped.accuracy, floor),
        least(`accuracy of buckets beside a backdoor${where} (clean less 0.03)`, taught.accuracy, floor),
        highest(`called ill by the mark${where} (clean and 0.1)`, taught.backdoor, clean.backdoor + 0.1),
      )
    }
    return outcomes
  },
}
