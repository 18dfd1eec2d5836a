/** The privacy ledger: caps, charges, and what was signed in a round. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { openPrivacyLedger } from '../../../src/federated/index.ts'
import type { PrivacyLedger } from '../../../src/federated/index.ts'
import { testSigner } from '../../federated/support/ledger-host.ts'
import type { Kind, Step } from '../kind.ts'

const EVENT = { mechanism: 'gaussian', q: 0.1, sigma: 1, steps: 5 } as const

function shownLedger(ledger: PrivacyLedger): unknown {
  return {
    budgets: ledger.budgets().map(({ data, epsilon, cap, events }) => [data, epsilon, cap, events.length]),
    claimed: ledger.claimed(new Uint8Array(32).fill(1)) ?? null,
    entries: ledger.head().seq,
  }
}

const ledger: Kind = {
  name: 'privacy ledger',
  prepare(home) {
    mkdirSync(join(home, 'keys'))
  },
  open(home) {
    const places = { path: join(home, 'ledger.db'), anchor: join(home, 'keys', 'ledger.anchor') }
    const opened = openPrivacyLedger({ signer: testSigner(), wall: () => 1e12 }, places)
    let entries = 0
    /** Whoever charges and is refused charges again, and is counted twice where the first charge stood after all. */
    const once = (name: string, run: () => unknown): Step => {
      const mine = ++entries
      return { name, run: () => (opened.head().seq >= mine ? undefined : run()) }
    }
    return {
      steps: [
        once('cap', () => opened.setCap({ data: 'heart', unit: 'record', epsilon: 8, delta: 1e-5 })),
        once('charge', () => opened.charge({ data: 'heart', unit: 'record', job: 'job', round: 1, event: EVENT })),
        once('claim', () => opened.claim(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2))),
        once('charge again', () =>
          opened.charge({ data: 'heart', unit: 'record', job: 'job', round: 2, event: EVENT }),
        ),
      ],
      state: () => shownLedger(opened),
      close: () => undefined,
    }
  },
}

export const KINDS: readonly Kind[] = [ledger]
