/**
 * The privacy ledger of a site: what was released of which data, charged before a byte leaves, over all jobs, restarts
 * and retries. It refuses what exceeds the cap; the aggregator has no say in it.
 */
import type { SignedRounds } from '../secagg/signed-rounds.ts'
import { accountedEpsilon } from './accounting.ts'
import type { Accountant, Accounted } from './accounting.ts'
import { checkDelta } from './events.ts'
import type { Cap, Charge, EntryContent, LedgerEvent, LedgerHead, PrivacyUnit } from './ledger-entries.ts'
import { BudgetExceededError, NoBudgetError } from './ledger-errors.ts'
import { openLedgerFile } from './ledger-file.ts'
import type { LedgerAccess, LedgerPlaces, LedgerSigner } from './ledger-file.ts'

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
  /** Spent, all events composed: the smaller of what two accountants say. */
  readonly epsilon: number
  readonly accountant: Accountant
  readonly cap: number
  readonly events: readonly LedgerEvent[]
}

export interface Receipt extends LedgerHead {
  /** Spent with this charge, at most: by the second accountant only where the first goes beyond the cap. */
  readonly epsilon: number
  readonly accountant: Accountant
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
  /** What each data set may spend, and not what it has. */
  caps(): Cap[]
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
        const spent = afterCharge(spendingOf(ledger, charge), charge)
        const { data } = charge
        if (charge.unit === 'site' && hasCap(ledger, data, 'record'))
          afterCharge(spendingOf(ledger, { data, unit: 'record' }), charge)
        return { ...ledger.append({ kind: 'charge', ...charge }), ...spent }
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
    budgets: () => {
      const all = file.access((ledger) => capsOf(ledger).map((of) => spendingOf(ledger, of)))
      return all.map((spending) => ({ ...spending, ...accountedEpsilon(spending.events, spending.delta) }))
    },
    caps: () => file.access(capsOf),
    head: () => file.access(({ head }) => head),
  }
}

type Spending = Omit<Budget, keyof Accounted>

/** @throws BudgetExceededError: by neither accountant does it stay within the cap */
function afterCharge(spending: Spending, charge: Charge): Accounted & { readonly cap: number } {
  const { cap, delta, unit, events } = spending
  const accounted = accountedEpsilon([...events, charge.event], delta, cap)
  const { epsilon, accountant } = accounted
  if (epsilon <= cap) return { ...accounted, cap }
  throw new BudgetExceededError(
    `round ${charge.round} of ${charge.job} would bring "${charge.data}" (${unit}) to epsilon ` +
      `${epsilon.toPrecision(6)} (${accountant}) at delta ${delta}, and ${cap} is the cap`,
    { details: { ...spending, events: events.length, wanted: epsilon, accountant } },
  )
}

/** The last of each data set and unit, in the order of their first. */
function capsOf({ entries }: LedgerAccess): Cap[] {
  const caps = new Map<string, Cap>()
  for (const { what } of entries) {
    if (what.kind !== 'cap') continue
    const { kind: _, ...cap } = what
    caps.set(`${cap.unit} ${cap.data}`, cap)
  }
  return [...caps.values()]
}

function hasCap({ entries }: LedgerAccess, data: string, unit: PrivacyUnit): boolean {
  return entries.some(({ what }) => what.kind === 'cap' && what.data === data && what.unit === unit)
}

/**
 * What hides a whole site hides each of its records, and costs them what it costs the site: it is spent of the budget of records too.
 * @throws NoBudgetError
 */
function spendingOf({ entries }: LedgerAccess, { data, unit }: { data: string; unit: PrivacyUnit }): Spending {
  const own = entries
    .map(({ what }) => what)
    .filter((what): what is Exclude<EntryContent, { kind: 'signed' }> => what.kind !== 'signed' && what.data === data)
  const cap = own.findLast((what) => what.kind === 'cap' && what.unit === unit)
  if (cap?.kind !== 'cap') throw new NoBudgetError(`nobody has set a budget for "${data}" (${unit})`)
  const events = own.flatMap((what) =>
    what.kind === 'charge' && (what.unit === unit || unit === 'record') ? [what.event] : [],
  )
  return { data, unit, delta: cap.delta, cap: cap.epsilon, events }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
