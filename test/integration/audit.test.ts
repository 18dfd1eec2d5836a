import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { answer, codeOf, counter, createLab, greedy, joined, placement, TINY } from './support.ts'
import { metricsOf } from './scraped.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const LIAR = fileURLToPath(new URL('liar.ts', import.meta.url))
const TOKENS = 24
const SAMPLED = {
  temperature: 0.9,
  topK: 40,
  topP: 0.95,
  minP: 0,
  repetitionPenalty: 1.15,
  presencePenalty: 0.2,
  frequencyPenalty: 0.1,
  seed: 11,
}

describe.runIf(isLong)('a stage that others compute is held against somebody who computes it again', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer
  let expected: number[]

  const lie = (peer: RealPeer, which: string): void => writeFileSync(join(peer.home, 'lie'), which)
  const ask = (more: Parameters<typeof greedy>[2]): Promise<Answer> => answer(a, greedy('tiny', TOKENS, more))
  const quarantined = async (): Promise<string[]> =>
    ((await a.access.status()).quarantine ?? []).map(({ peer }) => peer)
  const deploy = (
    stages: readonly (readonly [RealPeer, number, number])[],
    replicas: readonly (readonly [RealPeer, number, number])[],
  ): Promise<unknown> => {
    const { stages: held } = placement('tiny', replicas)
    return a.access.deploy('tiny', { ...placement('tiny', stages), replicas: held }, () => undefined)
  }
  const middle = (): Promise<unknown> =>
    deploy(
      [
        [a, 0, 1],
        [b, 1, 4],
        [a, 4, 8],
      ],
      [
        [c, 1, 4],
        [a, 1, 4],
      ],
    )

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b, c] = await Promise.all([lab.start('a'), lab.startProgram('b', LIAR), lab.startProgram('c', LIAR)])
    await joined([a, b, c])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await middle()
    expected = (await ask({ placement: 'local' })).ids
  }, 120_000)

  beforeEach(async () => {
    for (const peer of [b, c]) {
      lie(peer, '')
      await a.access.trust(peer.id)
    }
  })

  afterAll(() => lab.stop())

  it('honest: every row is looked at, nothing is found, and the text is the same', async () => {
    const rows = await counter(a, 'audited_rows')
    const whole = await ask({ audit: 'hold' })
    expect(whole.error).toBeUndefined()
    expect(whole.ids).toEqual(expected)
    expect(whole.audits).toEqual([])
    expect((await counter(a, 'audited_rows')) - rows).toBe(TOKENS + 1)
    expect(whole.end!.stats.counters['audited_rows']).toBe(TOKENS + 1)
    expect(whole.end!.stats.counters['audits']).toBeGreaterThan(0)
  })

  it.each(['zeros', 'noise', 'bit', 'seldom', 'swapped', 'stale', 'other'])(
    '%s: found before a token of it is given, and the text is the right one',
    async (which) => {
      // Somebody else's session, whose rows may be told as those of this one.
      if (which === 'other') await ask({ input: { kind: 'ids', ids: [700, 44, 12, 9] } })
      lie(b, which)
      const whole = await ask({ audit: 'hold' })
      expect(whole.error).toBeUndefined()
      expect(whole.ids).toEqual(expected)
      expect(whole.audits).toMatchObject([{ verdict: 'lie', peer: b.id, from: 1, to: 4, affected: 0 }])
      expect(whole.reroutes).toMatchObject([{ lost: [b.id] }])
      expect(await quarantined()).toEqual([b.id])
    },
  )

  it('sampled: tokens that were given stay, the rest follows from them, and requests go round the liar from then on', async () => {
    lie(b, 'rounded')
    const mismatches = await counter(a, 'audit_mismatches')
    const whole = await ask({ audit: 'sample', auditRate: 1, maxTokens: 64 })
    expect(whole.error).toBeUndefined()
    expect(whole.ids.length).toBe(64)
    const [found] = whole.audits
    expect(found).toMatchObject({ verdict: 'lie', peer: b.id })
    expect(found!.affected).toBeGreaterThan(0)
    // What follows is what an honest peer says behind the tokens that stand.
    const kept = whole.ids.slice(0, -8)
    const rest = await ask({ placement: 'local', maxTokens: 8, input: { kind: 'ids', ids: [960, 1504, ...kept] } })
    expect(whole.ids.slice(-8)).toEqual(rest.ids)
    expect(await counter(a, 'audit_mismatches')).toBe(mismatches + 1)
    const text = await metricsOf(a)
    for (const name of ['audits', 'audited_rows', 'audit_mismatches', 'peers_quarantined'])
      expect(Number(new RegExp(`^weft_${name}_total (\\d+)$`, 'm').exec(text)?.[1])).toBe(await counter(a, name))

    const [entry] = (await a.access.status()).quarantine ?? []
    expect(entry).toMatchObject({ peer: b.id, evidence: [{ peer: b.id, reason: 'rows', from: 1, to: 4 }] })
    const next = await ask({})
    expect(next.ids).toEqual(expected)
    expect(next.route.map(({ peer }) => peer)).not.toContain(b.id)
    const refused = await middle().catch((error: unknown) => error)
    expect(codeOf(refused)).toBe('WEFT-TRU-060')
    expect(await a.access.trust(b.id)).toBe(true)
    await middle()
    expect((await ask({})).route.map(({ peer }) => peer)).toContain(b.id)
  })

  it('an auditor that lies: a third one decides, and the honest peer is not blamed', async () => {
    await deploy(
      [
        [a, 0, 1],
        [b, 1, 4],
        [a, 4, 8],
      ],
      [[c, 1, 4]],
    )
    lie(c, 'zeros')
    let blamed: string[] = []
    for (let tries = 0; tries < 8 && blamed.length === 0; tries++) {
      const whole = await ask({ audit: 'hold' })
      expect(whole.ids).toEqual(expected)
      expect(whole.audits).toEqual([])
      blamed = await quarantined()
    }
    expect(blamed).toEqual([c.id])
  })

  it('signatures that are none, and no account of rows: replaced, not blamed', async () => {
    await deploy(
      [
        [a, 0, 1],
        [b, 1, 4],
        [c, 4, 7],
        [a, 7, 8],
      ],
      [],
    )
    for (const [peer, which] of [
      [b, 'unsigned'],
      [c, 'mute'],
    ] as const) {
      lie(peer, which)
      const whole = await ask({ audit: 'hold' })
      lie(peer, '')
      expect(whole.error).toBeUndefined()
      expect(whole.ids).toEqual(expected)
      expect(whole.audits).toMatchObject([{ verdict: 'disputed', peer: peer.id }])
      expect(await quarantined()).toEqual([])
    }
  })

  it('a peer that says it has other kernels: rows of the right length pass, zeros do not', async () => {
    await middle()
    lie(b, 'kernel')
    const honest = await ask({ audit: 'hold' })
    expect(honest.ids).toEqual(expected)
    expect(honest.audits).toEqual([])
    lie(b, 'kernel zeros')
    const whole = await ask({ audit: 'hold' })
    expect(whole.ids).toEqual(expected)
    expect(whole.audits).toMatchObject([{ verdict: 'lie', peer: b.id }])
  })

  it('a peer that has the head too: its tokens are held against another, also where they hang on tokens before', async () => {
    await deploy([[b, 0, 8]], [[c, 0, 8]])
    const sampled = { sampling: SAMPLED, audit: 'hold' } as const
    const right = await ask({ sampling: SAMPLED, placement: 'local' })
    const honest = await ask(sampled)
    expect(honest.ids).toEqual(right.ids)
    expect(honest.audits).toEqual([])
    lie(b, 'token')
    const whole = await ask(sampled)
    expect(whole.ids).toEqual(right.ids)
    expect(whole.audits).toMatchObject([{ verdict: 'lie', peer: b.id, position: 9 }])
  })

  it('a stage host that dies, and the auditor with it: nobody is blamed', async () => {
    await middle()
    const hosts = (await a.access.status()).stages.filter(({ peer }) => [b.id, c.id].includes(peer))
    for (const mode of ['hold', 'sample'] as const) {
      let killed = false
      const whole = await answer(a, greedy('tiny', 96, { audit: mode, auditRate: 0.2 }), (count) => {
        if (count < 8 || killed || mode === 'sample') return
        killed = true
        for (const { pid } of hosts) process.kill(pid, 'SIGKILL')
      })
      expect(whole.error).toBeUndefined()
      expect(whole.ids.slice(0, TOKENS)).toEqual(expected)
      expect(whole.audits).toEqual([])
    }
    expect(await quarantined()).toEqual([])
  })
})
