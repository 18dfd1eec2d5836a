/** `--lan confirm`: a newcomer is seen with its reason, let in or kept out by a person, and that is remembered. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { createLab, endProcess, joined, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'
import type { SeenNotJoined } from '../../src/peer/index.ts'

describe.runIf(isLong)('--lan confirm', () => {
  let lab: Lab

  beforeEach(async () => void (lab = await createLab()))
  afterEach(() => lab.stop())

  const host = (): Promise<RealPeer> => lab.start('host', ['--lan', 'confirm'])
  const command = (peer: RealPeer, ...args: string[]) => weft([...args, '--home', peer.home])
  /** But for peers of other tests, which are under way on this machine and meet ours by multicast. */
  const seen = async (peer: RealPeer): Promise<readonly SeenNotJoined[]> =>
    (await peer.access.status()).seen_not_joined.filter(
      ({ why }) => !why.includes("of the open network 'test-") || why.includes(lab.network),
    )
  const connected = async (peer: RealPeer): Promise<number> =>
    (await peer.access.status()).peers.filter((other) => other.state === 'connected').length

  it('a newcomer waits with its reason on both sides, is approved, and joins again after restarts', async () => {
    const [asks, newcomer] = await Promise.all([host(), lab.start('newcomer')])
    const waiting = async (peer: RealPeer, other: RealPeer): Promise<boolean> =>
      (await seen(peer)).some(({ id, code }) => id === other.id && code === 'WEFT-DSC-005')
    await until('the newcomer waits', async () => (await waiting(asks, newcomer)) && (await waiting(newcomer, asks)))
    const [here] = (await seen(asks)).filter(({ id }) => id === newcomer.id)
    expect(here?.why).toContain('waits for approval')
    expect(here?.hint).toContain(`weft peers approve ${newcomer.id}`)
    expect((await seen(newcomer)).find(({ id }) => id === asks.id)?.hint).toContain('whoever runs that peer')
    expect((await command(asks, 'status')).stdout).toContain('WEFT-DSC-005')
    expect((await command(asks, 'peers')).stderr).toContain(`weft peers approve ${newcomer.id}`)
    expect([await connected(asks), await connected(newcomer)]).toEqual([0, 0])

    const approved = await command(asks, 'peers', 'approve', newcomer.id.slice(-8), '--json')
    expect(json(approved.stdout)).toEqual({ schema: 'weft.admission/1', peer: newcomer.id, admitted: true })
    await joined([asks, newcomer])
    expect(await seen(asks)).toEqual([])

    await Promise.all([endProcess(asks.child), endProcess(newcomer.child)])
    const [again, other] = await Promise.all([host(), lab.start('newcomer')])
    await joined([again, other])
    expect(await seen(again)).toEqual([])
  }, 60_000)

  it.runIf(isWhole)(
    'one that is kept out is told so, also after a restart, and can still be let in',
    async () => {
      const [asks, newcomer] = await Promise.all([host(), lab.start('newcomer')])
      await until('the newcomer waits', async () => (await seen(asks)).some(({ id }) => id === newcomer.id))
      expect((await command(asks, 'peers', 'deny', newcomer.id)).status).toBe(0)
      const refused = async (): Promise<boolean> => (await seen(newcomer)).some(({ code }) => code === 'WEFT-DSC-004')
      await until('it is told', refused)

      await endProcess(asks.child)
      const again = await host()
      await until('it is refused once more', async () =>
        (await seen(again)).some(({ code }) => code === 'WEFT-DSC-004'),
      )
      expect(await connected(again)).toBe(0)
      expect((await command(again, 'peers', 'approve', newcomer.id)).status).toBe(0)
      await joined([again, newcomer])
    },
    60_000,
  )

  it('nobody that was never seen can be approved by a mistyped id', async () => {
    const asks = await host()
    const outcome = await command(asks, 'peers', 'approve', 'nobody-of-this-name', '--json')
    expect(outcome.status).toBe(4)
    expect(json(outcome.stdout)).toMatchObject({ error: { code: expect.stringMatching(/^WEFT-CLI-/) as unknown } })
    expect((await command(asks, 'peers', 'approve', '--json')).status).toBe(2)
  })
})
