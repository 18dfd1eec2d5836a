import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  alive,
  answer,
  codeOf,
  counter,
  createLab,
  endProcess,
  greedy,
  joined,
  placement,
  TINY,
  until,
} from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const LONG = 450

describe('when a part of the mesh is lost in mid-answer', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer
  let expected: readonly number[]

  beforeAll(async () => {
    lab = await createLab()
    ;[a, b, c] = await Promise.all([lab.start('a'), lab.start('b'), lab.start('c')])
    await joined([a, b, c])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await a.access.deploy(
      'tiny',
      placement('tiny', [
        [a, 0, 3],
        [b, 3, 6],
        [c, 6, 8],
      ]),
      () => undefined,
    )
    expected = (await answer(a, greedy('tiny', 60))).ids
  }, 120_000)

  afterAll(() => lab.stop())

  it('a killed stage host ends the answer with a code and the tokens so far, and is started again', async () => {
    const host = (await a.access.status()).stages.find((stage) => stage.peer === b.id)!
    const lost = await answer(a, greedy('tiny', LONG), (count) => count === 20 && process.kill(host.pid, 'SIGKILL'))
    expect(codeOf(lost.error)).toBe('WEFT-INF-021')
    expect(lost.ids.slice(0, 20)).toEqual(expected.slice(0, 20))
    expect(alive(b.pid)).toBe(true)
    await until('the host is back', async () =>
      (await a.access.status()).stages.some(
        (stage) => stage.peer === b.id && stage.state === 'ready' && stage.pid !== host.pid,
      ),
    )
    expect(await counter(b, 'stage_restarts')).toBe(1)
    expect((await answer(a, greedy('tiny', 60))).ids).toEqual(expected)
  })

  it('a wedged stage host is found by its own work, ended, and started again', async () => {
    const host = (await a.access.status()).stages.find((stage) => stage.peer === b.id)!
    const restarts = await counter(b, 'stage_restarts')
    const lost = await answer(a, greedy('tiny', LONG), (count) => count === 20 && process.kill(host.pid, 'SIGSTOP'))
    expect(codeOf(lost.error)).toBe('WEFT-INF-021')
    await until('the wedged process is gone', () => !alive(host.pid))
    await until('the host is back', async () =>
      (await a.access.status()).stages.some(
        (stage) => stage.peer === b.id && stage.state === 'ready' && stage.pid !== host.pid,
      ),
    )
    expect(await counter(b, 'stage_restarts')).toBe(restarts + 1)
    expect((await answer(a, greedy('tiny', 60))).ids).toEqual(expected)
  })

  it('a frozen peer ends the answer with a code, and the mesh serves again when it wakes', async () => {
    const frozen = await answer(a, greedy('tiny', LONG), (count) => count === 20 && b.child.kill('SIGSTOP'))
    expect(codeOf(frozen.error)).toBe('WEFT-INF-030')
    expect(frozen.ids.slice(0, 20)).toEqual(expected.slice(0, 20))
    expect((await a.access.status()).peer.state).toBe('running')
    b.child.kill('SIGCONT')
    await joined([a, b, c])
    await until('it answers again', async () => (await answer(a, greedy('tiny', 5))).error === undefined)
    expect((await answer(a, greedy('tiny', 60))).ids).toEqual(expected)
  })

  it('a killed peer ends the answer with a code; its stage host ends by itself; the others go on', async () => {
    const host = (await a.access.status()).stages.find((stage) => stage.peer === c.id)!
    const lost = await answer(a, greedy('tiny', LONG), (count) => count === 20 && c.child.kill('SIGKILL'))
    expect(codeOf(lost.error)).toBe('WEFT-INF-030')
    expect(lost.ids.slice(0, 20)).toEqual(expected.slice(0, 20))
    await until('the host of the dead peer has ended', () => !alive(host.pid))
    await until(
      'its sessions are freed',
      async () => (await counter(b, 'sessions_opened')) === (await counter(b, 'sessions_freed')),
    )
    const local = await answer(a, greedy('tiny', 60, { placement: 'local' }))
    expect(local.ids).toEqual(expected)
    await until('it is away', async () =>
      (await a.access.status()).peers.every((peer) => peer.id !== c.id || peer.state !== 'connected'),
    )
  })

  it('the killed peer starts again from its home with the same identity, and serves its stage without fetching it', async () => {
    const again = await lab.start('c')
    expect(again.id).toBe(c.id)
    await joined([a, b, again])
    await until('its stage is back', async () =>
      (await a.access.status()).stages.some((stage) => stage.peer === c.id && stage.state === 'ready'),
    )
    expect(await counter(again, 'blobs_received')).toBe(0)
    expect((await answer(a, greedy('tiny', 60))).ids).toEqual(expected)
    await endProcess(again.child)
    expect(again.child.exitCode).toBe(0)
  })
})
