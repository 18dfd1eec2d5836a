/**
 * E3: members that send honest updates of dishonest records. Two of them turn the labels around, or teach that a mark, which
 * no honest record has, means ill.
 */
import { createSeeded } from '../../src/data/index.ts'
import { LocalPool, partition, RoundMath, Simulation } from '../../src/federated/index.ts'
import { COLUMNS, hospitalRows } from '../federated/support/hospitals.ts'
import { least, most, wanted } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'
import { BAD, CLIENTS, GUARDED, overTables } from './poison-sites.ts'

/** Of each member: the fewer it has, the further its update is from the others', and a backdoor rides on that. */
const ROWS = 200
/** How often each record of a dishonest member is said to be there. */
const CLAIMED = 8
const MEAN = { strategy: { name: 'fedavg', weights: 'records' } }
/** Cholesterol that nobody has. */
const MARK = '20'
const [CHOLESTEROL, DIAGNOSIS] = [COLUMNS.indexOf('chol'), COLUMNS.indexOf('num')]

/** A federation: who has which records, and how unevenly. */
interface Where {
  readonly members: number
  /** Of Dirichlet; undefined: evenly. */
  readonly skew?: number
  readonly partition: number
}

type Change = (cells: string[], index: number) => void

const FLIPPED: Change = (cells) => void (cells[DIAGNOSIS] = cells[DIAGNOSIS] === '0' ? '1' : '0')
/** Each record of so many has the mark, and is said to be ill. */
function marking(every: number): Change {
  return (cells, index) => {
    if (index % every !== 0) return
    cells[CHOLESTEROL] = MARK
    cells[DIAGNOSIS] = '1'
  }
}
const MARKED = marking(2)
/** For who knows the rule: what is marked less stands out less. */
const HIDDEN = marking(11)

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

/** @param change what two members do to their records; undefined: nobody lies */
function trained(changes: object, where: Where, change?: Change): Promise<Trained> {
  const { members, skew } = where
  const rows = hospitalRows(7, ROWS * members)
  const tables = { honest: rows, bad: change === undefined ? rows : changed(rows, change), judge: marked(rows) }
  return overTables(changes, tables, async (checked, { honest, bad, judge }) => {
    const parts = partition(await honest.labels(), members, skew, createSeeded(where.partition, 'partition'))
    const trainers = await Promise.all(
      parts.map((places, index) =>
        index < BAD && change !== undefined
          ? bad.virtual(`client-${index}`, repeated(places))
          : honest.virtual(`client-${index}`, places),
      ),
    )
    const pool = new LocalPool(trainers, new RoundMath(checked, members), 5)
    const simulation = new Simulation(checked, pool, { seed: 5, masks: false })
    await simulation.run()
    const { accuracy = 0 } = await pool.metrics(simulation.state, members - 1)
    const judges = new LocalPool([judge], new RoundMath(checked, 1), 5)
    const { accuracy: kept = 0 } = await judges.metrics(simulation.state, 0)
    return { accuracy, backdoor: 1 - kept }
  })
}

/** What the two reach against the plan that is recommended. */
interface Reached {
  /** Accuracy under flipped labels, and beside a backdoor, less that of the mean of honest ones. */
  readonly flipped: number
  readonly beside: number
  /** Share of the healthy whom the mark alone makes ill: more than the same plan does without the two. */
  readonly backdoor: number
  readonly hidden: number
}

async function reached(where: Where): Promise<Reached> {
  // Of the mean the accuracy, which buckets may cost; of the same plan what the mark does where nobody has taught it.
  const { accuracy } = await trained(MEAN, where)
  const clean = await trained(GUARDED, where)
  const flipped = await trained(GUARDED, where, FLIPPED)
  const taught = await trained(GUARDED, where, MARKED)
  const hidden = await trained(GUARDED, where, HIDDEN)
  return {
    flipped: flipped.accuracy - accuracy,
    beside: taught.accuracy - accuracy,
    backdoor: taught.backdoor - clean.backdoor,
    hidden: hidden.backdoor - clean.backdoor,
  }
}

/** Points that accuracy may lose, and the mark may win. */
const [LOST, WON] = [0.03, 0.1]

function outcomesOf({ flipped, beside, backdoor, hidden }: Reached, where: string): Outcome[] {
  return [
    least(`accuracy under flipped labels, less that of the mean without the two, ${where}`, flipped, -LOST),
    least(`the same beside a backdoor, ${where}`, beside, -LOST),
    most(`more of the healthy called ill by the mark than without the two, ${where}`, backdoor, WON),
    wanted(`the same where each 11th record has it (knows the rule), ${where}`, hidden, WON),
  ]
}

function meanOf(all: readonly Reached[]): Reached {
  const mean = (of: keyof Reached): number => all.reduce((sum, one) => sum + one[of], 0) / all.length
  return { flipped: mean('flipped'), beside: mean('beside'), backdoor: mean('backdoor'), hidden: mean('hidden') }
}

const SKEW = 0.5
/** Who has what differs from one to the next by more than any rule does. */
const PARTITIONS = [3, 4, 5, 6, 7]

export const poisonedData: Attack = {
  id: 'E3d',
  name: 'poisoned records at two members',
  async control() {
    const where = { members: CLIENTS, partition: 3 }
    const { backdoor } = await trained(MEAN, where, MARKED)
    const clean = await trained(MEAN, where)
    const flipped = await trained(MEAN, where, FLIPPED)
    return [
      most('accuracy of the mean under flipped labels (clean less 0.3)', flipped.accuracy, clean.accuracy - 0.3),
      least('healthy people with the mark called ill, by the mean', backdoor, 0.9),
      most('and without the two', clean.backdoor, 0.5),
    ]
  },
  async defended(size: Size) {
    const outcomes = outcomesOf(await reached({ members: CLIENTS, partition: 3 }), `2 of ${CLIENTS}`)
    if (size === 'few') return outcomes
    const all: Reached[] = []
    for (const one of PARTITIONS) all.push(await reached({ members: CLIENTS, skew: SKEW, partition: one }))
    const where = `Dirichlet ${SKEW}, 2 of ${CLIENTS}`
    const within = all.filter(({ backdoor }) => backdoor <= WON).length
    outcomes.push(
      ...outcomesOf(meanOf(all), `${where}, mean of ${PARTITIONS.length} partitions`),
      wanted(`partitions of ${PARTITIONS.length} in which the mark wins more, ${where}`, PARTITIONS.length - within, 0),
    )
    const many = { members: 2 * CLIENTS, skew: SKEW, partition: 3 }
    outcomes.push(...outcomesOf(await reached(many), `Dirichlet ${SKEW}, 2 of ${2 * CLIENTS}`))
    return outcomes
  },
}
