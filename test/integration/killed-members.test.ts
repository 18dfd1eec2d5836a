/**
 * kill -9 in the middle of a join, at moments that go from the first to the last of it: an invite lets in one peer and no second
 * one, whoever died.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { ChildProcess } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/util/index.ts'
import { json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isLong } from '../whole.ts'
import { createLab } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const clock = systemClock()
const ROUNDS = 4
/** Of a join as a process of its own; on a busy machine it ends later, and more die early. */
const JOIN_MS = 1_600

describe.runIf(isLong)('kill -9', () => {
  let lab: Lab
  let listen: string

  beforeEach(async () => {
    lab = await createLab()
    listen = `/ip4/127.0.0.1/tcp/${await freePort()}`
  })
  afterEach(() => lab.stop())

  const command = (name: string, args: readonly string[], started?: (child: ChildProcess) => void): Promise<Outcome> =>
    weft([...args, '--json', '--home', lab.home(name)], started === undefined ? {} : { started })
  const at = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
    json((await command(name, args)).stdout)
  const startAdmin = (): Promise<RealPeer> => lab.start('a', ['--listen', listen])
  const killAfter = (milliseconds: number, child: ChildProcess): void =>
    void clock.after(milliseconds, () => child.kill('SIGKILL'))

  async function killed(admin: RealPeer): Promise<void> {
    if (admin.child.signalCode !== null) return
    const gone = once(admin.child, 'exit')
    admin.child.kill('SIGKILL')
    await gone
  }

  it('of who joins or of the admin, at any moment: one peer gets in by an invite, whoever asks again', async () => {
    await at('a', 'cluster', 'create', 'north', '--name', 'a')
    let admin = await startAdmin()
    const seen = new Set<string>()
    for (let round = 0; round < ROUNDS; round++) {
      const { token } = (await at('a', 'invite', 'create')) as { token: string }
      const after = (JOIN_MS * (round + 1)) / ROUNDS
      const isAdmin = round % 2 === 1
      const first = command(`x${round}`, ['join', token], (child) => killAfter(after, isAdmin ? admin.child : child))
      const { status, signal } = await first
      if (isAdmin) {
        await killed(admin)
        admin = await startAdmin()
      }
      seen.add(`${isAdmin ? 'admin' : 'joiner'} ${signal ?? status}`)
      // It asks again, where it is not in by its own files; and so does somebody who has found the token.
      const both = await Promise.all([
        status === 0 ? Promise.resolve({ schema: 'weft.joined/1' }) : at(`x${round}`, 'join', token),
        at(`y${round}`, 'join', token),
      ])
      const inside = both.map((one) => one['schema'] === 'weft.joined/1' || isInAlready(one))
      expect(inside.filter(Boolean), JSON.stringify(both)).toHaveLength(1)
      const shown = await at('a', 'cluster', 'show', '--verify')
      expect(shown).toMatchObject({ forks: [], members: { length: round + 2 } })
      expect(await at('a', 'invite', 'ls')).toMatchObject({
        invites: expect.arrayContaining([
          expect.objectContaining({ left: 0, used_by: [expect.any(String)] }),
        ]) as object,
      })
    }
    // The control: some died in the middle.
    expect([...seen].filter((how) => !how.endsWith(' 0')).length, [...seen].join()).toBeGreaterThan(0)
  }, 280_000)
})

/** It had written down that it is in before it was killed. */
function isInAlready(document: Record<string, unknown>): boolean {
  return (document as { error?: { code: string } }).error?.code === 'WEFT-TRU-171'
}

/** The same after each restart, so that its invites lead there. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
