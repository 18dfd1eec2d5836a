import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { isWhole } from '../whole.ts'
import { createFleet } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [1, 2, 3, 4, 5].map((seed) => hospitalRows(seed, 30 + 5 * seed, seed))

/** The message that is not sent any more, of a member or of whoever aggregates: the stages of the dropout table. */
const OF_MEMBER = ['advertise', 'shares', 'piece', 'masked', 'consistency', 'reveal', 'applied'] as const
const OF_AGGREGATOR = ['begin', 'roster', 'ciphertexts', 'survivors', 'ballots', 'result', 'certificate'] as const
type Fault = 'killed' | 'frozen'

/** The sum of a round from `session` on is disturbed once: the first member that sends the message is gone. */
async function disturbed(
  kind: string,
  fault: Fault,
  changes: object = {},
): Promise<{ readonly fleet: Fleet; readonly victim: () => number; readonly folder: string }> {
  const folder = temporaryFolder()
  let victim = -1
  const fleet: Fleet = await createFleet({
    folder,
    plan: plan({ rounds: 2, minimum: { sites: 3, records: 10 }, deadline: '3s', ...changes }),
    rows: ROWS,
    onMessage: (from: Member, _, sent) => {
      // The statistics are over: a round of training is disturbed.
      if (victim >= 0 || sent !== kind || from.standing.current.state.pooled === null) return
      victim = fleet.members.indexOf(from)
      from.isGone = true
      if (fault === 'killed') from.end()
    },
  })
  return { fleet, victim: () => victim, folder }
}

/** Every set of survivors that a member has signed, and every charge: nothing twice under one header. */
function signedRounds({ ledger }: Member): number {
  return ledger.head().seq
}

async function survivors(kind: string, fault: Fault): Promise<void> {
  const { fleet, victim, folder } = await disturbed(kind, fault)
  try {
    const stop = Promise.withResolvers<void>()
    const ended = new Set<number>()
    for (const [index, member] of fleet.members.entries()) {
      void member.over.then(() => {
        ended.add(index)
        const others = [...ended].filter((each) => each !== victim()).length
        if (others >= 4 && victim() >= 0) stop.resolve()
      })
    }
    // A set that was signed and whose sum nobody knows is waited for: who is gone comes back.
    const waits = setInterval(() => {
      const stuck = fleet.members.some(({ coordinator }) => coordinator.waiting?.why.startsWith('their sum was signed'))
      if (stuck && victim() >= 0 && fleet.members[victim()]!.isGone) void fleet.start(victim())
    }, 100)
    await stop.promise
    clearInterval(waits)
    const others = fleet.members.filter((_, index) => index !== victim() && ended.has(index))
    const states = others.map(({ standing }) => standing.current)
    expect(states.every(({ state }) => state.done === 2)).toBe(true)
    expect(new Set(states.map(({ hash }) => Buffer.from(hash).toString('hex'))).size).toBe(1)
    for (const member of others) expect(signedRounds(member)).toBeGreaterThan(0)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const CASES = [...OF_MEMBER, ...OF_AGGREGATOR].flatMap((kind) =>
  (['killed', 'frozen'] as const).map((fault) => [kind, fault] as const),
)
const SOME = CASES.filter(([kind, fault]) => fault === 'killed' && ['masked', 'roster', 'survivors'].includes(kind))

describe('a member that is gone in a round', () => {
  test.each(isWhole ? CASES : SOME)('before "%s", %s: the others make the same models', async (kind, fault) => {
    await survivors(kind, fault)
  })
})

describe('the statistics of a plan under privacy', () => {
  test('are summed over one set alone, like all that has no noise: who has signed waits for the others', async () => {
    const folder = temporaryFolder()
    const privacy = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2 }
    const gone: Member[] = []
    const fleet: Fleet = await createFleet({
      folder,
      plan: plan({ rounds: 1, local: { steps: 1, batch: 'full', lr: 0.5 }, privacy, deadline: '3s' }),
      rows: ROWS,
      onMessage: (from, _, kind) => {
        if (gone.length > 0 || kind !== 'result') return
        gone.push(from)
        from.end()
      },
    })
    try {
      const others = (): Member[] => fleet.members.filter((member) => !gone.includes(member))
      const isWaitedFor = (): boolean =>
        others().some(({ coordinator }) => coordinator.waiting?.why.startsWith('their sum was signed'))
      const hasSum = (): boolean => others().some(({ log }) => log.some(({ event }) => event === 'applied'))
      while (gone.length === 0 || !(isWaitedFor() || hasSum())) await sleep(10)
      expect(hasSum()).toBe(false)
      await fleet.start(fleet.members.indexOf(gone[0]!))
      expect(await Promise.all(fleet.members.map(({ over }) => over))).toEqual(fleet.members.map(() => 'over'))
    } finally {
      await fleet.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
