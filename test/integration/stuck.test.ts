/** Peers that are there and give nothing: the answer goes on over another, and is the same. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { alive, answer, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const MUTE = fileURLToPath(new URL('mute.ts', import.meta.url))

let lab: Lab
let a: RealPeer
let b: RealPeer
let expected: readonly number[]

beforeAll(async () => {
  lab = await createLab()
  let c: RealPeer
  ;[a, b, c] = await Promise.all([lab.start('a'), lab.startProgram('b', MUTE), lab.start('c')])
  await joined([a, b, c])
  await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
  const stages = placement('tiny', [
    [a, 0, 1],
    [b, 1, 7],
    [a, 7, 8],
  ])
  await a.access.deploy('tiny', { ...stages, replicas: [{ peer: c.id, from: 1, to: 7 }] }, () => undefined)
  expected = (await answer(a, greedy('tiny', 12, { placement: 'local' }))).ids
}, 60_000)

afterAll(() => lab.stop())

describe.runIf(isLong)('an answer over a peer', () => {
  it('whose host is wedged before the answer is begun does not wait for it', async () => {
    let host = 0
    await until('the stage of b is ready', async () => {
      const { stages } = await a.access.status()
      host = stages.find(({ peer, state }) => peer === b.id && state === 'ready')?.pid ?? 0
      return host > 0
    })
    process.kill(host, 'SIGSTOP')
    const { ids, route, error } = await answer(a, greedy('tiny', 12))
    expect(error).toBeUndefined()
    expect(ids).toEqual(expected)
    // Its peer has ended it.
    expect(route.map(({ pid }) => pid)).not.toContain(host)
    expect(alive(host)).toBe(false)
  }, 60_000)

  it('that takes rows and passes none on is asked, then left out', async () => {
    await until('the answer goes over b again', async () => {
      const { route } = await answer(a, greedy('tiny', 12))
      return route.some(({ peer }) => peer === b.id)
    })
    writeFileSync(join(b.home, 'lie'), 'mute')
    const { ids, reroutes, error } = await answer(a, greedy('tiny', 12))
    rmSync(join(b.home, 'lie'))
    expect(error).toBeUndefined()
    expect(ids).toEqual(expected)
    expect(reroutes.length).toBeGreaterThan(1)
  }, 120_000)
})
