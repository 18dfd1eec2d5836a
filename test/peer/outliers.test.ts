/** Who is held to account for rows that are not computed with: by a ban with a reason and an end, and never the last admin. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OFFENCES } from '../../src/net/index.ts'
import { homePaths, prepareHome } from '../../src/peer/home.ts'
import { rowGate, WITNESSES } from '../../src/peer/outliers.ts'
import { RowLevels } from '../../src/peer/row-levels.ts'
import { Site } from '../../src/peer/site.ts'
import type { Outlier, RowGate } from '../../src/pipeline/index.ts'
import { createTelemetry } from '../../src/telemetry/index.ts'
import type { Telemetry } from '../../src/telemetry/index.ts'
import { loadOrCreateIdentity } from '../../src/trust/index.ts'
import { siteWarnings } from '../../src/cli/site-view.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'

const { most } = OFFENCES.outlier

let home: string
let clock: ReturnType<typeof virtualClock>
let site: Site
let telemetry: Telemetry
let events: unknown[]
let gate: RowGate

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-outliers-'))
  const paths = homePaths(home, {})
  await prepareHome(paths)
  clock = virtualClock()
  telemetry = createTelemetry({ clock })
  const quiet = (): void => undefined
  const logger = { warn: quiet, error: quiet, info: quiet }
  const roleOf = (peer: string): 'admin' | 'member' | 'guest' =>
    peer === 'admin' || peer === 'guest' ? peer : 'member'
  const identity = await loadOrCreateIdentity({ directory: paths.keys })
  site = await Site.open({ clock, random: systemRandom(), identity, paths, logger, telemetry, online: false, roleOf })
  events = []
  const parts = { clock, levels: await RowLevels.open(paths.state, quiet), logger, site, telemetry }
  gate = rowGate(
    parts as unknown as Parameters<typeof rowGate>[0],
    () => null,
    (event, data) => events.push([event, data]),
  )
})
afterEach(async () => {
  site.close()
  await rm(home, { recursive: true, force: true })
})

const send = (times: number, change: Partial<Outlier> = {}): void => {
  const found = {
    kind: 'large',
    peer: 'b',
    origin: 'o',
    digest: 'a'.repeat(64),
    block: 4,
    position: 0,
    isStated: true,
  } as const
  for (let time = 0; time < times; time++) gate.outlier!({ ...found, ...change })
}
const bans = (): unknown[] => site.status().bans.map(({ subject, offence, why }) => ({ subject, offence, why }))

describe('rows that are not computed with', () => {
  it('are counted and told each, and a ban comes with one too many in a minute, and ends', async () => {
    send(1)
    expect(telemetry.counters()['activation_outliers']).toBe(1)
    expect(events).toEqual([
      ['peer.outlier', { peer: 'b', digest: 'a'.repeat(64), block: 4, position: 0, kind: 'large' }],
    ])
    expect(site.status().outliers).toMatchObject({ count: 1, by: 'b', kind: 'large' })
    await clock.advance(60_000)
    send(most)
    expect(bans()).toEqual([])
    send(1)
    expect(bans()).toEqual([{ subject: 'peer:b', offence: 'outlier', why: OFFENCES.outlier.why }])
    expect(telemetry.counters()).toMatchObject({ activation_outliers: most + 2, bans: 1 })
    await clock.advance(300_000)
    expect(bans()).toEqual([])
  })

  it('are nobody’s offence where their sender has not said which they are; what are no numbers always are', () => {
    send(10 * most, { isStated: false })
    expect(bans()).toEqual([])
    send(most + 1, { isStated: false, kind: 'not-finite' })
    expect(bans()).toHaveLength(1)
  })

  it('are an offence unnamed too where one origin after another got such from their sender, and not of an origin', async () => {
    const unnamed = (times: number, change: Partial<Outlier> = {}): void => send(times, { isStated: false, ...change })
    const origins = Array.from({ length: WITNESSES }, (_, index) => `o${index}`)
    for (const origin of origins.slice(1)) unnamed(10 * most, { origin })
    expect(bans()).toEqual([])
    // an hour ago is no witness any more
    await clock.advance(3_600_000)
    unnamed(10 * most, { origin: origins[0]! })
    expect(bans()).toEqual([])
    for (const origin of origins.slice(1)) unnamed(1, { origin })
    unnamed(most, { origin: origins[0]! })
    expect(bans()).toEqual([{ subject: 'peer:b', offence: 'outlier', why: OFFENCES.outlier.why }])
    unnamed(10 * most, { peer: 'o', origin: 'o' })
    expect(bans()).toHaveLength(1)
    for (const origin of origins) unnamed(most, { peer: 'admin', origin })
    expect(bans()).toHaveLength(1)
  })

  it('of an admin are refused, and it is not kept out; of a guest they are as those of anybody', () => {
    send(10 * most, { peer: 'admin' })
    expect(bans()).toEqual([])
    expect(telemetry.counters()['bans_spared']).toBeGreaterThan(0)
    send(most + 1, { peer: 'guest' })
    expect(bans()).toMatchObject([{ subject: 'peer:guest' }])
  })

  it('are shown by weft status: how many, the last by whom, when and what', () => {
    const lines = (): string[] => siteWarnings({ site: site.status(), peer: { id: 'me' } as never })
    expect(lines()).toEqual([])
    send(2, { kind: 'zeros' })
    expect(lines()).toMatchObject([expect.stringMatching(/refused 2 times: the last from b at .* UTC \(zeros\)$/)])
  })
})
