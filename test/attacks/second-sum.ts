/**
 * E17 over whole rounds: an aggregator keeps the result of a sum from its members, and has another made from the same
 * model without one of them. The difference of the two is that member's update.
 */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Message } from '../../src/federated/index.ts'
import { unpack } from '../../src/federated/index.ts'
import { decodeSum } from '../../src/federated/rounds/layout.ts'
import { WIDE } from '../../src/federated/rounds/math.ts'
import { realOf } from '../../src/federated/rounds/wide.ts'
import { createFleet } from '../federated/support/fleet.ts'
import type { Fleet, Member } from '../federated/support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from '../federated/support/hospitals.ts'

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40 + 5 * seed, seed))

/** Records of the member that is left out, as the attacker has them; undefined: there was no second sum. */
export async function leftOut(
  isDefended: boolean,
): Promise<{ readonly found: number | undefined; readonly real: number }> {
  const folder = temporaryFolder()
  const results = new Map<string, Message>()
  let refusals = 0
  let made: Fleet | undefined
  const isTraining = (from: Member): boolean => from.standing.current.state.pooled !== null
  const rewrite = (from: Member, message: Message): Message | undefined => {
    const { kind, body, payload } = message
    if (made === undefined || !isTraining(from)) return undefined
    // The attacker sees every result, and gives none away; and hears nothing of what members are bound to.
    if (kind === 'result') {
      results.set(String((body['members'] as string[]).length), message)
      return { kind: 'wait', body: { why: '', peers: [] }, payload: new Uint8Array() }
    }
    if (kind === 'hello') return { kind, body: { ...body, bound: null }, payload }
    if (kind === 'refuse' && String(body['message']).includes('another set of survivors')) refusals++
    // Once there is a sum of all, the last member is not let into the next.
    if (kind === 'advertise' && results.size > 0 && from === made.members[3]) return { kind, body: {}, payload }
    return undefined
  }
  const ledger = { claim: () => true, claimed: () => undefined, charge: () => ({}) as never }
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1, minimum: { sites: 3, records: 10 }, deadline: '2s' }),
    rows: ROWS,
    rewrite,
    ...(isDefended ? {} : { changed: { ledger } }),
  })
  made = fleet
  const [all, victim] = [fleet.members.length, fleet.members[3]!]
  try {
    const isDone = (): boolean => (results.has(String(all)) && results.has(String(all - 1))) || refusals >= 3
    while (!isDone()) await sleep(20)
    const real = victim.trainer.records
    if (!results.has(String(all - 1))) return { found: undefined, real }
    const { state, hash } = victim.standing.current
    const layout = fleet.job.layout(state)
    const header = fleet.job.header(0, state, hash, fleet.job.groups(state)[0]!)
    const of = (count: number): number => {
      const { payload } = results.get(String(count))!
      const sums = decodeSum(unpack(payload, header.bits, header.d), layout, header)
      return realOf(sums.wide[WIDE.records]!)
    }
    return { found: of(all) - of(all - 1), real }
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
