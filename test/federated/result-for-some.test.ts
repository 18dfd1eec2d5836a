/** An aggregator that ends while it gives out the result of a sum: some members have a model that too few stand for. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { isWhole } from '../whole.ts'
import { areOver, createFleet, TIMES } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 30 + 5 * seed, seed))
/** Four members, of whom three stand for a model. */
const PRIVACY = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2 }
const PRIVATE = { privacy: PRIVACY, local: { steps: 1, batch: 'full', lr: 0.5 } }

interface Scene {
  /** Members beside the aggregator that get the result. */
  readonly given: number
  /** One is cut off before its sum, and is there again after it. */
  readonly isOneAway?: boolean
  /** In the sum of the columns, or in that of the first training. */
  readonly isTraining?: boolean
  readonly changes?: object
  readonly changed?: FleetInit['changed']
}

interface Played {
  readonly fleet: Fleet
  readonly gone: () => Member | undefined
  readonly others: () => Member[]
  /** Public mask keys in the order in which they left. */
  readonly maskKeys: readonly string[]
}

async function played(
  { given, isOneAway = false, isTraining = false, changes = {}, changed = {} }: Scene,
  act: (scene: Played) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder()
  let gone = undefined as Member | undefined
  let away = undefined as Member | undefined
  const maskKeys: string[] = []
  let told = 0
  const end = (aggregator: Member): void => {
    aggregator.end()
    if (away !== undefined) away.isGone = false
  }
  const fleet: Fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1, minimum: { sites: 3, records: 10 }, deadline: '3s', ...changes }),
    rows: ROWS,
    changed,
    cap: 20,
    onMessage: (from, to, kind, body) => {
      if (kind === 'advertise') {
        maskKeys.push(Buffer.from((body as { entry: { maskKey: Uint8Array } }).entry.maskKey).toString('hex'))
      }
      const isDisturbed = (from.standing.current.state.pooled !== null) === isTraining
      if (isOneAway && isDisturbed && away === undefined && kind === 'advertise' && from !== to) {
        away = from
        away.isGone = true
      }
      if (gone !== undefined && to === gone && kind === 'applied' && !gone.isGone) end(gone)
      if (kind !== 'result' || (gone !== undefined && from !== gone) || (gone === undefined && !isDisturbed)) return
      if (gone === undefined) setImmediate(() => void (from.isGone || end(from)))
      gone = from
      if (to === from || told === given) throw new Error('this result is not given out')
      told++
    },
  })
  try {
    const isOver = (): boolean => gone?.isGone === true
    while (!isOver()) await sleep(5)
    const others = (): Member[] => fleet.members.filter(({ identity }) => identity.id !== gone?.identity.id)
    await act({ fleet, gone: () => gone, others, maskKeys })
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function areDone(members: readonly Member[]): Promise<void> {
  await areOver(members)
  expect(members.every(({ standing }) => standing.current.state.done === 1)).toBe(true)
}

function sumsMade(members: readonly Member[]): number {
  return members.flatMap(({ log }) =>
    log.filter(({ event, facts }) => event === 'stage' && facts['stage'] === 'result'),
  ).length
}

const STAGES = [false, true]

describe('a result that more members have than may be missed', () => {
  test.each(STAGES)('is taken up by one that was not in its sum (of training: %s)', async (isTraining) => {
    await played({ given: 2, isOneAway: true, isTraining }, async ({ fleet, gone, others, maskKeys }) => {
      await areDone(others())
      await fleet.start(fleet.members.indexOf(gone()!))
      await areDone(fleet.members)
      expect(new Set(maskKeys).size).toBe(maskKeys.length)
    })
  })

  test.each(STAGES)('is taken up by one that was in its sum (of training: %s)', async (isTraining) => {
    await played({ given: 2, isTraining }, async ({ fleet, others }) => {
      await areDone(others())
      // One sum of the columns and one of the training: none was made again.
      expect(sumsMade(fleet.members)).toBe(2)
    })
  })

  test('costs nobody a second charge', async () => {
    await played({ given: 2, isTraining: true, changes: PRIVATE }, async ({ others }) => {
      await areDone(others())
      for (const { ledger } of others()) expect(ledger.budgets()[0]!.events).toHaveLength(1)
    })
  })
})

describe('a result that fewer members have', () => {
  const counts = isWhole ? [0, 1] : [1]

  test.each(counts)('(%i) is made again with fresh noise and keys, and charged again', async (given) => {
    await played({ given, isTraining: true, changes: PRIVATE }, async ({ others, maskKeys }) => {
      await areDone(others())
      for (const { ledger } of others()) expect(ledger.budgets()[0]!.events).toHaveLength(2)
      expect(new Set(maskKeys).size).toBe(maskKeys.length)
    })
  })

  test.each(counts)('(%i) waits without noise for the one that ended, and says so', async (given) => {
    await played({ given, isTraining: true }, async ({ fleet, gone, others, maskKeys }) => {
      const isWaitedFor = ({ coordinator: { waiting } }: Member): boolean =>
        waiting?.why.startsWith('their sum was signed') === true && waiting.peers.includes(gone()!.identity.id)
      while (!others().some(isWaitedFor)) await sleep(10)
      expect(others().some(({ standing }) => standing.current.state.done === 1 && standing.isCertified)).toBe(false)
      await fleet.start(fleet.members.indexOf(gone()!))
      await areDone(fleet.members)
      expect(new Set(maskKeys).size).toBe(maskKeys.length)
    })
  })

  test('is given up after a while: each says so, and nobody is waited for for ever', async () => {
    const times = { ...TIMES.member, lostMs: 3000 }
    await played({ given: 1, isTraining: true, changed: { times } }, async ({ others, maskKeys }) => {
      const ends = await Promise.all(others().map(({ over }) => over))
      expect(ends.map((end) => (end as { code?: string }).code)).toEqual(others().map(() => 'WEFT-FED-085'))
      expect(String(ends[0])).toContain('waited for for 3 seconds')
      // The model of before stands, and nothing was summed a second time.
      expect(others().every(({ standing }) => standing.current.state.done === 0)).toBe(true)
      expect(new Set(maskKeys).size).toBe(maskKeys.length)
    })
  })
})
