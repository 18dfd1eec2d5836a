/** What is refused about roll-outs: codes, and what they name. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { checkFedPlan } from '../../src/federated/index.ts'
import { RolloutBook } from '../../src/peer/rollouts/book.ts'
import { outletOf } from '../../src/peer/rollouts/outlet.ts'
import { Rollouts } from '../../src/peer/rollouts/rollouts.ts'
import { systemClock } from '../../src/util/index.ts'
import { plan } from '../federated/support/hospitals.ts'

const JOB = '0123456789abcdef'
let home: string
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'weft-rollout-'))))
afterEach(() => rmSync(home, { recursive: true, force: true }))

async function opened(): Promise<Rollouts> {
  const rollouts = new Rollouts({
    clock: { ...systemClock(), after: () => () => undefined },
    book: await RolloutBook.open(join(home, 'rollouts'), () => undefined),
    outlet: outletOf(() => {
      throw new Error('no roll-out came so far')
    }),
    note: () => undefined,
    count: () => undefined,
    emit: () => undefined,
    log: () => undefined,
  })
  const checked = checkFedPlan(plan(), 'plan')
  rollouts.follow({ plan: () => ({ job: JOB, plan: checked }), model: () => Promise.resolve(undefined) })
  return rollouts
}

async function refused(action: () => unknown): Promise<readonly [string, Readonly<Record<string, unknown>>]> {
  try {
    await action()
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    return [error.code, error.details]
  }
  throw new Error('it was not refused')
}

test('a job that is not rolled out here is named, whatever is asked of it', async () => {
  const rollouts = await opened()
  for (const action of ['status', 'promote', 'back', 'end'] as const) {
    expect(await refused(() => rollouts[action](JOB))).toEqual(['WEFT-FED-081', { job: JOB }])
  }
  await rollouts.stop()
})

test('a name that is none: the job', async () => {
  const rollouts = await opened()
  expect(await refused(() => rollouts.begin({ job: JOB, alias: 'No Name' }))).toEqual(['WEFT-FED-082', { job: JOB }])
  await rollouts.stop()
})

test('a file that cannot be read is named, and so is a folder; what is sound is opened', async () => {
  const damaged: [string, string, unknown][] = []
  const open = (folder: string): Promise<RolloutBook> =>
    RolloutBook.open(folder, (file, error) => {
      const { code, details } = error as WeftError
      damaged.push([file, code, details['file']])
    })
  const folder = join(home, 'rollouts')
  mkdirSync(folder)
  writeFileSync(join(folder, 'm+heart@live.json'), '{"schema":"weft.rollout/1"')
  expect((await open(folder)).list()).toEqual([])
  const file = join(home, 'a-file')
  writeFileSync(file, '')
  expect((await open(file)).list()).toEqual([])
  expect(damaged).toEqual([
    ['m+heart@live.json', 'WEFT-FED-083', 'm+heart@live.json'],
    [file, 'WEFT-FED-083', file],
  ])
})
