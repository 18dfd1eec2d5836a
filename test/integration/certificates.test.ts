/**
 * Certificates between real processes: signed and renewed by themselves, over when their admin has been away for too long, by a
 * code on both sides, and good again by themselves when it is back. One member's clock is twenty minutes behind all the while.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import type { ClusterStatus } from '../../src/peer/index.ts'
import { isLong } from '../whole.ts'
import { answer, counter, createLab, endProcess, greedy, joined, placement, TINY } from './support.ts'
import type { Answer, Lab, RealPeer } from './support.ts'

const CLOCKED = fileURLToPath(new URL('clocked.ts', import.meta.url))
/** They are over within 20 s, of which 4 are for clocks; on a busy machine a renewal comes at half of that. */
const LIFETIME = '16s'
const BEHIND = -20 * 60_000
const PATIENCE = { timeout: 90_000, interval: 200 }

describe.runIf(isLong)('certificates of a private cluster', () => {
  let lab: Lab
  beforeEach(async () => void (lab = await createLab()))
  afterEach(() => lab.stop())

  const run = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
    json((await weft([...args, '--home', lab.home(name), '--json'])).stdout)
  const show = async (peer: RealPeer): Promise<ClusterStatus> =>
    (await peer.access.cluster({ do: 'show' })) as ClusterStatus
  const untilOf = async (at: RealPeer, of: RealPeer): Promise<number> =>
    Date.parse((await show(at)).members.find(({ id }) => id === of.id)?.certificate?.until ?? '')
  const clock = (name: string, text: string): Promise<void> => writeFile(join(lab.home(name), 'clock'), text)
  const allCodes = ({ error }: Answer): string => JSON.stringify([error, (error as Error | undefined)?.message])

  it('are renewed while the admin is up, over when it is killed, told by both sides, and mended when it is back', async () => {
    expect(await run('admin', 'cluster', 'create', 'northwind', '--certificates', LIFETIME)).toMatchObject({
      certificates_ms: 16_000,
    })
    let admin = await lab.start('admin')
    for (const name of ['b', 'c']) {
      const { token } = await run('admin', 'invite', 'create', '--role', 'site')
      expect(await run(name, 'join', token as string, '--name', name)).toMatchObject({ schema: 'weft.joined/1' })
    }
    await clock('c', String(BEHIND))
    const [b, c] = [await lab.start('b'), await lab.startProgram('c', CLOCKED)]
    await joined([admin, b, c])
    expect((await show(c)).certificates).toMatchObject({ lifetime_ms: 16_000, required: true })
    await expect.poll(async () => (await show(c)).clocks_apart, PATIENCE).toMatchObject({ admin: admin.id })
    const first = await untilOf(b, c)
    await expect.poll(() => untilOf(b, c), PATIENCE).toBeGreaterThan(first + 16_000)
    expect(await counter(admin, 'certificates_renewed')).toBeGreaterThanOrEqual(3)
    for (const one of [b, c]) expect((await show(one)).certificates.expired).toBe(0)

    await b.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const stages = placement('tiny', [
      [b, 0, 4],
      [c, 4, 7],
      [b, 7, 8],
    ])
    await b.access.deploy('tiny', stages, () => undefined)
    const expected = await answer(b, greedy('tiny', 8, { placement: 'local' }))
    // asked at the one that does not have the weights
    const ask = (): Promise<Answer> => answer(c, greedy('tiny', 8, { placement: stages, deadline: 20_000 }))
    const right = await ask()
    expect([right.error, right.ids]).toEqual([undefined, expected.ids])

    // no admin any more; the clock of whoever asks does not tell it that its time is over
    admin.child.kill('SIGKILL')
    await endProcess(admin.child)
    await clock('c', 'stop')
    await expect.poll(async () => (await show(b)).certificates.expired, PATIENCE).toBe(3)
    expect((await show(c)).certificates.expired).toBe(0)
    const refused = await ask()
    expect([refused.ids, allCodes(refused)]).toEqual([[], expect.stringMatching(/WEFT-/)])

    // and once it knows: it refuses by itself, in the words of the same code
    await clock('c', String(BEHIND))
    await expect.poll(async () => (await show(c)).certificates.expired, PATIENCE).toBe(3)
    const own = await ask()
    expect([own.ids, allCodes(own)]).toEqual([[], expect.stringMatching(/WEFT-/)])
    for (const one of [b, c]) {
      await expect(one.access.deploy('tiny', stages, () => undefined)).rejects.toMatchObject({ code: 'WEFT-TRU-115' })
      expect(await counter(one, 'certificate_refusals')).toBeGreaterThan(0)
    }
    // what it has itself it may still compute
    expect((await answer(b, greedy('tiny', 8, { placement: 'local' }))).ids).toEqual(expected.ids)
    const status = await weft(['status', '--home', c.home])
    expect(status.stdout + status.stderr).toContain('WEFT-TRU-115')
    expect((await weft(['doctor', '--security', '--home', c.home])).stdout).toMatch(/certificates.*ended at/)

    admin = await lab.start('admin')
    await joined([admin, b, c])
    for (const one of [b, c]) await expect.poll(async () => (await show(one)).certificates.expired, PATIENCE).toBe(0)
    await expect.poll(async () => (await ask()).ids, PATIENCE).toEqual(expected.ids)
    expect(await counter(c, 'certificates_taken')).toBeGreaterThan(0)
  }, 600_000)
})
