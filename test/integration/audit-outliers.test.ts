/** Rows that no stage computes, from a peer of a ring of real processes: the next door does not compute with them. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import type { SiteStatus } from '../../src/peer/site.ts'
import { answer, counter, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const BAD = fileURLToPath(new URL('bad-rows.ts', import.meta.url))
const TOKENS = 12
/** So many in a minute are let pass. */
const LET_PASS = 4

describe.runIf(isLong)('rows that no stage of the model computes', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer
  let expected: number[]

  const ask = (more: Parameters<typeof greedy>[2] = {}): Promise<Answer> => answer(a, greedy('tiny', TOKENS, more))
  const put = (peer: RealPeer, file: string, text: string | null): void => {
    const path = join(peer.home, file)
    if (text === null) rmSync(path, { force: true })
    else writeFileSync(path, text)
  }
  const site = async (peer: RealPeer): Promise<SiteStatus> => (await peer.access.status()).site!
  const bansAt = async (peer: RealPeer): Promise<SiteStatus['bans']> => (await site(peer)).bans
  const together = (): Promise<void> => joined([a, b, c])
  /** Asked as long as the ban has not come; every answer is the right one. */
  const untilBanned = async (): Promise<void> => {
    for (let tries = 0; tries <= LET_PASS + 1 && (await bansAt(c)).length === 0; tries++)
      expect((await ask()).ids).toEqual(expected)
  }

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b, c] = await Promise.all([lab.startProgram('a', BAD), lab.startProgram('b', BAD), lab.startProgram('c', BAD)])
    await together()
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const { stages: replicas } = placement('tiny', [[a, 1, 4]])
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 4],
      [c, 4, 7],
      [a, 7, 8],
    ])
    await a.access.deploy('tiny', { ...stages, replicas }, () => undefined)
    expected = (await ask({ placement: 'local' })).ids
  }, 120_000)

  beforeEach(async () => {
    for (const peer of [a, b, c]) {
      put(peer, 'rows', null)
      put(peer, 'blind', null)
    }
    for (const peer of [a, c]) await peer.access.trust(b.id)
    await together()
  }, 60_000)

  afterAll(() => lab.stop())

  it('honest ones are all computed with', async () => {
    for (const prompt of [[960, 1504], [0], [1, 1, 1, 1], Array.from({ length: 200 }, (_, at) => (at * 7919) % 4096)])
      expect((await ask({ input: { kind: 'ids', ids: prompt } })).route.map(({ peer }) => peer)).toContain(b.id)
    for (const peer of [a, b, c]) {
      expect(await counter(peer, 'activation_outliers')).toBe(0)
      expect((await site(peer)).outliers).toBeNull()
    }
  })

  it.each([
    ['zeros', 'zeros'],
    ['none', 'not-finite'],
    ['times 1000', 'large'],
    ['noise', 'large'],
  ])(
    '%s: the next door refuses them, the answer is the right one by another holder, and a ban comes and ends',
    async (rows, kind) => {
      const before = await counter(c, 'activation_outliers')
      put(b, 'rows', rows)
      const first = await ask()
      expect(first.error).toBeUndefined()
      expect(first.ids).toEqual(expected)
      expect(first.reroutes).toMatchObject([{ lost: [b.id] }])
      expect(await counter(c, 'activation_outliers')).toBe(before + 1)
      expect((await site(c)).outliers).toMatchObject({ by: b.id, kind, count: before + 1 })
      await untilBanned()
      expect(await counter(c, 'activation_outliers')).toBe(before + LET_PASS + 1)
      const [ban] = await bansAt(c)
      expect(ban).toMatchObject({ subject: `peer:${b.id}`, offence: 'outlier' })
      expect(ban!.until - ban!.since).toBeGreaterThanOrEqual(5 * 60_000)
      // Nobody blames who passed nothing on.
      for (const peer of [a, b]) {
        expect((await bansAt(peer)).filter(({ subject }) => !subject.includes(b.id))).toEqual([])
        expect((await site(peer)).outliers?.by ?? b.id).toBe(b.id)
      }
      put(b, 'rows', null)
      expect(await c.access.trust(b.id)).toBe(true)
      await together()
      await until('the peer computes again', async () => (await ask()).route.some(({ peer }) => peer === b.id))
      expect((await ask()).ids).toEqual(expected)
    },
    120_000,
  )

  it('of a peer that does not say which rows they are: refused each time, and nobody is banned', async () => {
    put(b, 'rows', 'unstated times 1000')
    const before = await counter(c, 'activation_outliers')
    for (let tries = 0; tries < LET_PASS + 2; tries++) expect((await ask()).ids).toEqual(expected)
    expect(await counter(c, 'activation_outliers')).toBe(before + LET_PASS + 2)
    expect(await bansAt(c)).toEqual([])
  }, 60_000)

  it('two rows in each other’s place are not found: an audit finds them', async () => {
    put(b, 'rows', 'swapped')
    const before = await counter(c, 'activation_outliers')
    await ask()
    expect(await counter(c, 'activation_outliers')).toBe(before)
  })

  it.each(['zeros', 'times 1000'])('where nobody looks, %s go through to a wrong answer', async (rows) => {
    for (const peer of [a, c]) put(peer, 'blind', '')
    put(b, 'rows', rows)
    const wrong = await ask()
    expect(wrong.error).toBeUndefined()
    expect(wrong.reroutes).toEqual([])
    expect(wrong.ids).not.toEqual(expected)
  })
})
