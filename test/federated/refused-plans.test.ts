/** What is refused about plans, jobs and rounds, by the paths that refuse it: its code, whom it names, and the stage. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import {
  bodyOf,
  checkFedPlan,
  readFedData,
  RoundAbortedError,
  SiteTrainer,
  trainOutside,
} from '../../src/federated/index.ts'
import type { Message } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { createFleet, clock } from './support/fleet.ts'
import type { Member } from './support/fleet.ts'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

async function refused(action: () => unknown): Promise<readonly [string, Readonly<Record<string, unknown>>]> {
  try {
    await action()
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    return [error.code, error.details]
  }
  throw new Error('it was not refused')
}

describe('what is refused names what it is about', () => {
  test('a plan: where, and the field', async () => {
    const action = (): unknown => checkFedPlan(plan({ rounds: -1 }), 'heart.json')
    expect(await refused(action)).toEqual(['WEFT-FED-060', { where: 'heart.json', field: 'rounds' }])
  })

  test('a job: its id, and a plan that is another than the one that was said yes to by both hashes', async () => {
    const { federation, home } = await mesh.site('a')
    const other = await mesh.site('b')
    const { job, plan_hash: hash } = await federation.create(checkFedPlan(plan(), 'plan'))
    const data = writeSite(home, 'site-a', hospitalRows(1, 40))
    expect(await refused(() => federation.status('nobody'))).toEqual(['WEFT-FED-062', { job: 'nobody' }])
    expect(await refused(() => federation.start(job))).toEqual(['WEFT-FED-063', { job }])
    const wrong = 'f'.repeat(64)
    const changed = await refused(() => other.federation.joinJob({ job, data, hash: wrong }))
    expect(changed).toEqual(['WEFT-FED-061', { job, approved: wrong, found: hash }])
  })

  test('a message that is malformed', async () => {
    const message = { kind: 'shares', body: { sid: 'x' }, payload: new Uint8Array() } as unknown as Message
    expect((await refused(() => bodyOf('shares', message)))[0]).toBe('WEFT-FED-064')
  })

  test('a site without a row for training, and one whose program fails: the site', async () => {
    const path = writeSite(folder, 'site-c', hospitalRows(1, 2))
    const needs = { clock, engine: createOrtEngine(), folder, threads: 1 }
    const all = checkFedPlan(plan({ split: { column: 'num', test: 0 } }), 'plan')
    writeFileSync(join(folder, 'site-c.csv'), '60,200,1,150,0\n')
    const empty = await refused(async () => SiteTrainer.open(needs, all, await readFedData(path)))
    expect(empty).toEqual(['WEFT-FED-065', { site: 'site-c' }])
    const run = (): unknown => trainOutside({ command: 'exit 3;', folder }, 'site-c', [], new Float32Array())
    expect(await refused(run)).toEqual(['WEFT-FED-067', { site: 'site-c' }])
  })
})

/** The log of all members has a line for each of these facts. */
async function isLogged(members: readonly Member[], event: string, facts: object): Promise<void> {
  const lines = (): unknown[] => members.flatMap(({ log }) => log.filter((line) => line.event === event))
  const found = (): boolean => lines().some((line) => matches((line as Member['log'][number]).facts, facts))
  while (!found()) await sleep(20)
}

function matches(facts: Readonly<Record<string, unknown>>, wanted: object): boolean {
  return Object.entries(wanted).every(([name, value]) => facts[name] === value)
}

describe('the logs of a round', () => {
  const ROWS = [1, 2, 3].map((seed) => hospitalRows(seed, 40))

  test('a round for whose model nobody stands says its code and stage', async () => {
    let spoilt = 0
    const rewrite = (_: Member, message: Message): Message | undefined =>
      message.kind === 'applied' && ++spoilt <= ROWS.length ? { ...message, body: { state: null } } : undefined
    const fleet = await createFleet({ folder, plan: plan({ rounds: 1 }), rows: ROWS, rewrite })
    try {
      await isLogged(fleet.members, 'round.aborted', { code: 'WEFT-FED-066', stage: 'votes' })
      expect(new RoundAbortedError(4, 'votes', 'x').details).toEqual({ round: 4, stage: 'votes' })
    } finally {
      await fleet.stop()
    }
  }, 60_000)

  test('shares that do not open: all who got them write down whose, and in which stage', async () => {
    let liar: string | undefined
    const rewrite = (from: Member, message: Message): Message | undefined => {
      liar ??= from.identity.id
      if (from.identity.id !== liar || message.kind !== 'shares') return undefined
      const sealed = message.body['sealed'] as { position: number; data: Uint8Array }[]
      const noise = sealed.map(({ position, data }) => ({ position, data: data.map((byte) => byte ^ 1) }))
      return { ...message, body: { ...message.body, sealed: noise } }
    }
    const fleet = await createFleet({ folder, plan: plan({ rounds: 1 }), rows: ROWS, rewrite })
    try {
      const named = { code: 'WEFT-FED-027', about: liar }
      for (const member of fleet.members) {
        if (member.identity.id === liar) continue
        await isLogged([member], 'aggregator.lost', { ...named, stage: 'ciphertexts' })
      }
      await isLogged(fleet.members, 'member.lost', { ...named, stage: 'vectors' })
    } finally {
      await fleet.stop()
    }
  }, 60_000)
})
