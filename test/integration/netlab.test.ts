/** Five hosts in network namespaces (shared/netlab), real peers on them: root and Linux only. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNetworkKey } from '../../src/trust/index.ts'
import { netlabFor } from './netlab.ts'
import { answer, codeOf, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const { why, netlab, on } = netlabFor('int')

describe.skipIf(why !== undefined)(`peers on five hosts${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let lab: Lab
  let open: [RealPeer, RealPeer, RealPeer]
  let keyed: [RealPeer, RealPeer]

  beforeAll(async () => {
    netlab('up', '5', '--rtt', '20', '--loss', '0.25')
    lab = await createLab()
    const key = lab.home('key')
    await createNetworkKey(key)
    const started = await Promise.all([
      lab.start('one', [], on(1)),
      lab.start('two', [], on(2)),
      lab.start('three', [], on(3)),
      lab.start('four', ['--network-key', key], on(4)),
      lab.start('five', ['--network-key', key], on(5)),
    ])
    open = [started[0], started[1], started[2]]
    keyed = [started[3], started[4]]
    await joined(open)
    await joined(keyed)
  }, 180_000)

  afterAll(async () => {
    await lab.stop()
    netlab('down')
  })

  it('two networks on one LAN do not mix, and each says what it saw of the other', async () => {
    for (const peer of open) {
      const status = await peer.access.status()
      expect(
        status.peers
          .filter((other) => other.state === 'connected')
          .map((other) => other.id)
          .toSorted(),
      ).toEqual(
        open
          .filter((other) => other !== peer)
          .map((other) => other.id)
          .toSorted(),
      )
    }
    for (const peer of keyed)
      expect((await peer.access.status()).peers.filter((other) => other.state === 'connected')).toHaveLength(1)
  })

  it('a model on three hosts over a lossy link answers with the tokens of one process', async () => {
    const [one, two, three] = open
    await one.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const alone = await answer(one, greedy('tiny', 20, { placement: 'local' }))
    await one.access.deploy(
      'tiny',
      placement('tiny', [
        [one, 0, 3],
        [two, 3, 6],
        [three, 6, 8],
      ]),
      () => undefined,
    )
    for (const origin of open) {
      const split = await answer(origin, greedy('tiny', 20))
      expect(split.error).toBeUndefined()
      expect(split.ids).toEqual(alone.ids)
    }
  }, 120_000)

  it('a host that is cut off ends the answer with a code, and serves again when the link is back', async () => {
    const [one, two] = open
    const before = (await answer(one, greedy('tiny', 30))).ids
    // The second and third time too: a channel of before the cut must not swallow an answer of after it.
    for (let time = 0; time < 3; time++) {
      const cut = await answer(
        one,
        greedy('tiny', 450),
        (count) => count === 10 && netlab('link', '2', '--loss', '100'),
      )
      expect(codeOf(cut.error)).toBe('WEFT-INF-030')
      expect(cut.ids.slice(0, 10)).toEqual(before.slice(0, 10))
      netlab('link', '2', '--rtt', '20')
      await joined([one, two])
      await until('it answers again', async () => {
        const { error } = await answer(one, greedy('tiny', 5))
        expect(error === undefined ? '' : codeOf(error)).not.toBe('WEFT-INF-032')
        return error === undefined
      })
    }
    expect((await answer(one, greedy('tiny', 30))).ids).toEqual(before)
  }, 180_000)
})
