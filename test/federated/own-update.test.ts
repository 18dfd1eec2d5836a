/** What a site has trained, over rounds that others made meanwhile and over restarts: what has left once from a state leaves from it again, or not at all. */
import { describe, expect, test } from 'vitest'
import { checkFedPlan, JobView, MemberState, pipePair, planHash } from '../../src/federated/index.ts'
import { contributionBytes } from '../../src/federated/rounds/layout.ts'
import type { Contribution } from '../../src/federated/rounds/layout.ts'
import { OwnUpdate } from '../../src/federated/rounds/own-update.ts'
import { readAnswer } from '../../src/federated/rounds/read-answer.ts'
import type { FedState } from '../../src/federated/rounds/state.ts'
import { FIRST_STATE, stateHash } from '../../src/federated/rounds/state.ts'
import { fixedOf } from '../../src/federated/rounds/wide.ts'
import { buffered } from '../../src/federated/site/aged.ts'
import type { RoundSite } from '../../src/federated/site/site.ts'
import { clock, memoryFiles } from './support/fleet.ts'
import { plan } from './support/hospitals.ts'

const OLDEST = 3

function jobOf(changes: object = {}): JobView {
  const buffer = { cohort: 4, oldest: OLDEST }
  const checked = checkFedPlan(plan({ strategy: { name: 'fedbuff' }, buffer, ...changes }), 'plan')
  const members = ['a', 'b', 'c', 'd', 'e'].map((peer) => ({ peer, key: new Uint8Array(32), site: peer }))
  return new JobView({ id: 'job-1', plan: checked, planHash: planHash(checked), members })
}

const after = (done: number): FedState => ({ ...FIRST_STATE, done, pooled: { records: 10, columns: [] } })

/** Gives another update each time, as a program that draws might. */
function siteOf(): RoundSite & { trained: number } {
  return {
    records: 1,
    trained: 0,
    begin: () => Promise.reject(new Error('not asked')),
    prepare(state) {
      this.trained++
      const contribution = { reals: Float64Array.of(this.trained, 0.5), wide: [1n, -2n, 3n] }
      const memory = { own: Float32Array.of(this.trained) }
      return Promise.resolve(buffered({ contribution, memory, noise: undefined }, state.done))
    },
  }
}

interface Scene {
  readonly site: ReturnType<typeof siteOf>
  readonly log: string[]
  readonly for: (done: number) => Promise<Contribution>
  readonly own: OwnUpdate
}

async function sceneOf(files = memoryFiles()): Promise<Scene> {
  const [site, log, standing]: [Scene['site'], string[], MemberState] = [siteOf(), [], await MemberState.open(files)]
  const own = new OwnUpdate({
    site,
    standing,
    job: jobOf(),
    log: (event, { code }) => void log.push(`${event} ${String(code)}`),
  })
  const signal = new AbortController().signal
  return {
    site,
    log,
    own,
    for: async (done) => (await own.for(after(done), stateHash(after(done)), signal)).contribution,
  }
}

describe('an update that was trained while others made rounds', () => {
  test('counts by its age up to the oldest of the plan, and is refused beyond it: then the site trains anew', async () => {
    const { site, log, for: at } = await sceneOf()
    const first = await at(1)
    const late = await at(1 + OLDEST)
    expect([...late.reals]).toEqual([...first.reals].map((value) => value / 2))
    expect(late.wide.at(-1)).toBe(fixedOf(OLDEST))
    expect([site.trained, log]).toEqual([1, []])
    expect([...(await at(2 + OLDEST)).reals]).toEqual([2, 0.5])
    expect([site.trained, log]).toEqual([2, ['update.refused WEFT-FED-089']])
  })

  test('is trained anew once it has left, whatever became of that sum', async () => {
    const { site, own, for: at } = await sceneOf()
    await at(1)
    await at(2)
    await own.leaves()
    expect((await at(3)).wide.at(-1)).toBe(0n)
    expect(site.trained).toBe(2)
  })

  test('leaves as it was where the process ended and the round is made again, and is trained anew for the next', async () => {
    const files = memoryFiles()
    const before = await sceneOf(files)
    await before.for(1)
    const sent = await before.for(3)
    await before.own.leaves()

    const { site, own, for: at } = await sceneOf(files)
    const again = await at(3)
    expect(again).toEqual(sent)
    expect(site.trained).toBe(0)
    await own.leaves()
    expect((await at(4)).wide.at(-1)).toBe(0n)
    expect(site.trained).toBe(1)
  })

  test('is not kept where it did not leave, nor where training again gives the same', async () => {
    const files = memoryFiles()
    const { own, for: at } = await sceneOf(files)
    await at(1)
    await own.leaves()
    expect([...files.files.keys()]).toEqual([])
    await at(2)
    await at(3)
    expect([...files.files.keys()]).toEqual([])
  })

  test('ends the job at this site where the file is damaged: another vector from that state would tell it', async () => {
    const files = memoryFiles()
    const before = await sceneOf(files)
    await before.for(1)
    await before.for(3)
    await before.own.leaves()
    files.files.get('left.bin')![20]! ^= 1
    const { for: at } = await sceneOf(files)
    await expect(at(3)).rejects.toMatchObject({ code: 'WEFT-FED-070' })
  })
})

describe('in the clear whoever aggregates looks at the age', () => {
  const answered = async (age: number): Promise<unknown> => {
    const job = jobOf({ secagg: 'off' })
    const [mine, theirs] = pipePair(clock, 'a', 'b')
    const contribution = { reals: new Float64Array(), wide: [1, 0, 1, age].map(fixedOf) }
    await mine.send('plain', {}, contributionBytes(contribution, 'float64'))
    const guest = { peer: 'a', pipe: theirs, hello: {} as never, stage: 'begun' as const }
    return readAnswer(guest, job, after(5))
  }

  test.each([
    [OLDEST, undefined],
    [OLDEST + 1, 'WEFT-FED-089'],
    [-1, 'WEFT-FED-003'],
  ])('%i rounds', async (age, code) => {
    const read = answered(age)
    if (code === undefined) await read
    else await expect(read).rejects.toMatchObject({ code })
  })
})
