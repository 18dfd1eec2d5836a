/** `weft fed budget`: unit, epsilon, delta, sampling rate, noise and steps together, or not at all. */
import type { PrivacyLedger } from '../privacy/ledger.ts'
import type { LedgerEvent } from '../privacy/ledger-entries.ts'

interface BudgetEvent {
  readonly q: number
  /** Noise multiplier: deviation of the noise of the least cohort over the clip. */
  readonly sigma: number
  readonly steps: number
}

function eventOf(event: LedgerEvent): BudgetEvent {
  if (event.mechanism === 'gaussian') return { q: event.q, sigma: event.sigma, steps: event.steps }
  const { n, clip, f, shareSigma } = event.noise
  return { q: event.q, sigma: (Math.sqrt(n) * shareSigma) / (clip * 2 ** f), steps: event.steps }
}

/** Rounds that are alike are one line. */
function merged(events: readonly LedgerEvent[]): BudgetEvent[] {
  const lines = new Map<string, BudgetEvent>()
  for (const one of events.map(eventOf)) {
    const sigma = Number(one.sigma.toPrecision(12))
    const key = `${one.q} ${sigma}`
    lines.set(key, { q: one.q, sigma, steps: one.steps + (lines.get(key)?.steps ?? 0) })
  }
  return [...lines.values()]
}

export function budgetDocument(ledger: PrivacyLedger): object {
  const entries = ledger.budgets().map(({ data, unit, delta, epsilon, accountant, cap, events }) => ({
    data,
    unit,
    delta,
    epsilon,
    accountant,
    cap,
    events: merged(events),
  }))
  return { schema: 'weft.fed-budget/1', entries }
}

/** The first job on a data set sets its cap to the plan's epsilon; a later one changes it only where a person says so. */
export function setCap(
  ledger: PrivacyLedger,
  data: string,
  { unit, epsilon, delta }: { readonly unit: 'record' | 'site'; readonly epsilon: number; readonly delta: number },
  cap?: number,
): void {
  const known = ledger.caps().find((one) => one.data === data && one.unit === unit)
  if (known !== undefined && cap === undefined) return
  ledger.setCap({ data, unit, epsilon: cap ?? epsilon, delta: known?.delta ?? delta })
}
