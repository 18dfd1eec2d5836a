/**
 * The privacy ledger of a site: what was released of which data, charged before a byte leaves, over all jobs, restarts
 * and retries. It refuses what exceeds the cap; the aggregator has no say in it.
 */
import type { SignedRounds } from '../secagg/signed-rounds.ts'
import { distributedRdp, INTEGER_ORDERS } from './distributed.ts'
import { checkDelta, checkEvent } from './events.ts'
import type { Cap, Charge, EntryContent, LedgerEvent, LedgerHead, PrivacyUnit } from './ledger-entries.ts'
import { BudgetExceededError, NoBudgetError } from './ledger-errors.ts'
import { openLedgerFile } from './ledger-file.ts'
import type { LedgerAccess, LedgerPlaces, LedgerSigner } from './ledger-file.ts'
import { composedRdp, DEFAULT_ORDERS, epsilonOfRdp } from './renyi.ts'

export interface LedgerNeeds {
  readonly signer: LedgerSigner
  /** Milliseconds since 1970. */
  wall(): number
  /** Heads that others remember, peers' copies of the membership log for one. @default none */
  readonly witnessed?: () => readonly LedgerHead[]
  /** How long to wait for another process that holds the file. @default 5000: a charge takes milliseconds */
  readonly busyMilliseconds?: number
}

const BUSY_MS = 5000

/** What one set of data has spent. Unit, epsilon, delta and events go together or not at all. */
export interface Budget {
  readonly data: string
  readonly unit: PrivacyUnit
  readonly delta: number
  /** Spent, all events composed. */
  readonly epsilon: number
  readonly cap: number
  readonly events: readonly LedgerEvent[]
}

export interface Receipt extends LedgerHead {
  /** Spent with this charge. */
  readonly epsilon: number
  readonly cap: number
}

export interface PrivacyLedger extends SignedRounds {
  /** Sets the cap of a data set; later charges are held against it. Lowering it below what is spent stops all use. */
  setCap(cap: Cap): LedgerHead
  /**
   * Durable when it returns; only then may what it pays for leave the site. A retry is a charge of its own.
   * @throws BudgetExceededError, NoBudgetError, and what `LedgerFile.access` throws; nothing is charged then
   */
  charge(charge: Charge): Receipt
  /** What was claimed for a round, hex; undefined: nothing. */
  claimed(round: Uint8Array): string | undefined
  budgets(): Budget[]
  /** For peers to remember. */
  head(): LedgerHead
}

/** @throws when it is used, not here: a site without a ledger can still do all that spends nothing */
export function openPrivacyLedger(needs: LedgerNeeds, places: LedgerPlaces): PrivacyLedger {
  const { witnessed = () => [], busyMilliseconds = BUSY_MS } = needs
  const file = openLedgerFile({ ...needs, witnessed, busyMilliseconds }, places)
  return {
    setCap(cap) {
      checkDelta(cap.delta)
      return file.access((ledger) => ledger.append({ kind: 'cap', ...cap }))
    },
    charge: (charge) =>
      file.access((ledger) => {
        const { epsilon, cap } = afterCharge(budgetOf(ledger, charge), charge)
        const { data } = charge
        if (charge.unit === 'site' && hasCap(ledger, data, 'record'))
          afterCharge(budgetOf(ledger, { data, unit: 'record' }), charge)
        return { ...ledger.append({ kind: 'charge', ...charge }), epsilon, cap }
      }),
    claim: (round, set) =>
      file.access((ledger) => {
        const [key, value] = [hex(round), hex(set)]
        if (ledger.entries.some(({ what }) => what.kind === 'signed' && what.round === key)) return false
        ledger.append({ kind: 'signed', round: key, set: value })
        return true
      }),
    claimed: (round) =>
      file.access((ledger) => {
        const key = hex(round)
        const found = ledger.entries.find(({ what }) => what.kind === 'signed' && what.round === key)?.what
        return found?.kind === 'signed' ? found.set : undefined
      }),
    budgets: () =>
      file.access((ledger) => {
        const seen = new Map<string, { data: string; unit: PrivacyUnit }>()
        for (const { what } of ledger.entries) {
          if (what.kind === 'cap') seen.set(`${what.unit} ${what.data}`, { data: what.data, unit: what.unit })
        }
        return [...seen.values()].map((of) => budgetOf(ledger, of))
      }),
    head: () => file.access(({ head }) => head),
  }
}

/** @throws BudgetExceededError */
function afterCharge(budget: Budget, charge: Charge): { readonly epsilon: number; readonly cap: number } {
  const { cap, delta, unit } = budget
  const epsilon = epsilonOf([...budget.events, charge.event], delta)
  if (epsilon <= cap) return { epsilon, cap }
  throw new BudgetExceededError(
    `round ${charge.round} of ${charge.job} would bring "${charge.data}" (${unit}) to epsilon ` +
      `${epsilon.toPrecision(6)} at delta ${delta}, and ${cap} is the cap`,
    { details: { ...budget, events: budget.events.length, wanted: epsilon } },
  )
}

function hasCap({ entries }: LedgerAccess, data: string, unit: PrivacyUnit): boolean {
  return entries.some(({ what }) => what.kind === 'cap' && what.data === data && what.unit === unit)
}

/**
 * What hides a whole site hides each of its records, and costs them what it costs the site: it is spent of the budget of records too.
 * @throws NoBudgetError
 */
function budgetOf({ entries }: LedgerAccess, { data, unit }: { data: string; unit: PrivacyUnit }): Budget {
  const own = entries
    .map(({ what }) => what)
    .filter((what): what is Exclude<EntryContent, { kind: 'signed' }> => what.kind !== 'signed' && what.data === data)
  const cap = own.findLast((what) => what.kind === 'cap' && what.unit === unit)
  if (cap?.kind !== 'cap') throw new NoBudgetError(`nobody has set a budget for "${data}" (${unit})`)
  const events = own.flatMap((what) =>
    what.kind === 'charge' && (what.unit === unit || unit === 'record') ? [what.event] : [],
  )
  return { data, unit, delta: cap.delta, epsilon: epsilonOf(events, cap.delta), cap: cap.epsilon, events }
}

/** All events together. Discrete noise has bounds at integer orders only, and then all are taken there. */
export function epsilonOf(events: readonly LedgerEvent[], delta: number): number {
  const orders = events.some(({ mechanism }) => mechanism === 'distributed') ? INTEGER_ORDERS : DEFAULT_ORDERS
  const total = orders.map(() => 0)
  for (const event of merged(events)) {
    const rdp =
      event.mechanism === 'gaussian'
        ? composedRdp([event], orders)
        : distributedRdp(event.noise, event.steps, event.q, orders)
    for (const [index, value] of rdp.entries()) total[index]! += value
  }
  return epsilonOfRdp(orders, total, delta).epsilon
}

/** Rounds of one job are alike: their steps add up. */
function merged(events: readonly LedgerEvent[]): LedgerEvent[] {
  const alike = new Map<string, LedgerEvent>()
  for (const event of events) {
    if (event.mechanism === 'gaussian') checkEvent(event)
    const key = JSON.stringify({ ...event, steps: 0 })
    const before = alike.get(key)
    alike.set(key, before === undefined ? event : { ...event, steps: before.steps + event.steps })
  }
  return [...alike.values()]
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
