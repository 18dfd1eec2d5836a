/** E10: a privacy ledger is put back, raced, killed, and told another time. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { composedEpsilon, openPrivacyLedger } from '../../src/federated/index.ts'
import type { Charge, LedgerHead, PrivacyLedger } from '../../src/federated/index.ts'
import { testSigner } from '../federated/support/ledger-host.ts'
import { temporaryFolder } from '../federated/support/hospitals.ts'
import { codeOf, least, most } from './attack.ts'
import type { Attack } from './attack.ts'

const EVENT = { mechanism: 'gaussian', q: 0.1, sigma: 1, steps: 10 } as const
const CHARGE: Charge = { data: 'heart', unit: 'record', job: 'job', round: 0, event: EVENT }
const [CAP, DELTA] = [6.4, 1e-5]

interface Home {
  readonly folder: string
  wall: number
  open(witnessed?: () => readonly LedgerHead[]): PrivacyLedger
}

function home(): Home {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'keys'))
  const places = { path: join(folder, 'ledger.db'), anchor: join(folder, 'keys', 'anchor') }
  const made: Home = {
    folder,
    wall: 1e12,
    open: (witnessed) => {
      const needs = { signer: testSigner(), wall: () => made.wall }
      return openPrivacyLedger(witnessed === undefined ? needs : { ...needs, witnessed }, places)
    },
  }
  made.open().setCap({ data: 'heart', unit: 'record', epsilon: CAP, delta: DELTA })
  return made
}

/** Charges until it is refused; how many went through. */
function spend(ledger: PrivacyLedger, most = 100): number {
  for (let count = 0; count < most; count++)
    if (codeOf(() => ledger.charge({ ...CHARGE, round: count })) !== 'done') return count
  return most
}

function epsilon(charges: number): number {
  return charges === 0 ? 0 : composedEpsilon([{ ...EVENT, steps: EVENT.steps * charges }], DELTA)
}

export const overspending: Attack = {
  id: 'E10',
  name: 'spending a budget twice',
  control: () => {
    // Ledger and anchor put back together, and no peer that remembers a head: the one hole that is left, and said.
    const one = home()
    const copy = temporaryFolder()
    cpSync(one.folder, copy, { recursive: true })
    const first = spend(one.open())
    cpSync(copy, one.folder, { recursive: true })
    const again = spend(one.open())
    for (const folder of [one.folder, copy]) rmSync(folder, { recursive: true, force: true })
    return Promise.resolve([
      least('charges after file and anchor were put back, where nobody remembers', again, 1),
      least('epsilon of both', epsilon(first + again), CAP),
    ])
  },
  defended: (size) => {
    const one = home()
    const copy = temporaryFolder()
    cpSync(one.folder, copy, { recursive: true })
    const first = spend(one.open())
    const head = one.open().head()
    // The file alone; then file and anchor, which only who remembers a head can tell.
    cpSync(join(copy, 'ledger.db'), join(one.folder, 'ledger.db'))
    const again = spend(one.open())
    cpSync(copy, one.folder, { recursive: true })
    const both = spend(one.open(() => [head]))
    const two = home()
    const [left, right] = [two.open(), two.open()]
    let raced = 0
    for (let round = 0; round < 30; round++) {
      for (const ledger of [left, right]) raced += codeOf(() => ledger.charge({ ...CHARGE, round })) === 'done' ? 1 : 0
    }
    const three = home()
    three.open().charge(CHARGE)
    three.wall -= 86_400_000
    const back = spend(three.open())
    // Any order of restarts, rates and refusals: what is spent never falls, and never passes the cap.
    let [falls, over] = [0, 0]
    for (let seed = 0; seed < (size === 'all' ? 40 : 4); seed++) {
      const seeded = createSeeded(seed, 'ledger')
      const four = home()
      let [ledger, before] = [four.open(), 0]
      for (let step = 0; step < 12; step++) {
        if (seeded.below(3) === 0) ledger = four.open()
        const event = { ...EVENT, q: 0.05 + 0.2 * seeded.uniform(), steps: 1 + seeded.below(30) }
        codeOf(() => ledger.charge({ ...CHARGE, round: step, event }))
        const now = ledger.budgets()[0]!.epsilon
        falls += now < before ? 1 : 0
        over += now > CAP ? 1 : 0
        before = now
      }
      rmSync(four.folder, { recursive: true, force: true })
    }
    for (const { folder } of [one, two, three]) rmSync(folder, { recursive: true, force: true })
    rmSync(copy, { recursive: true, force: true })
    return Promise.resolve([
      most('epsilon that was spent at first', epsilon(first), CAP),
      most('charges after the file was put back', again, 0),
      most('charges after file and anchor were, where a peer remembers', both, 0),
      most('epsilon of two that race', epsilon(raced), CAP),
      most('charges after the clock went back a day', back, 0),
      most('times that what is spent fell', falls, 0),
      most('times that the cap was passed', over, 0),
    ])
  },
}
