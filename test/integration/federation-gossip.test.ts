/** Gossip over real peers: models of the sites' own, mixed in groups that are dealt anew; one that is killed goes on from its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { hospitalRows, plan, writeSite } from '../federated/support/hospitals.ts'
import { isLong } from '../whole.ts'
import { begun, finished, jobStatus, roundsOf, siteFolder } from './fed-job.ts'
import { createLab, joined, until } from './support.ts'
import type { RealPeer } from './support.ts'

const lab = await createLab()
afterAll(() => lab.stop())

const SITES = 6
const ROUNDS = 4

describe.runIf(isLong)('gossip over real peers', () => {
  test('mixes models in groups of three; a site that is killed comes back to its own model, and all end', async () => {
    const peers: RealPeer[] = []
    for (let at = 0; at < SITES; at++) peers.push(await lab.start(`s${at}`))
    await joined(peers)
    const made = plan({
      gossip: { group: 3 },
      model: { kind: 'linear' },
      rounds: ROUNDS,
      local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.1 },
      minimum: { sites: 3, records: 64 },
      deadline: '5s',
    })
    const data = (peer: RealPeer, at: number): string =>
      writeSite(siteFolder(peer, 'site'), `s${at}`, hospitalRows(at + 1, 60, at))
    const job = await begun(peers, made, data)

    const last = SITES - 1
    await until('it is in its rounds', async () => (await jobStatus(peers[last]!, job)).round > 0, 120_000)
    const before = (await jobStatus(peers[last]!, job)).round
    peers[last]!.child.kill('SIGKILL')
    await until('it is gone', () => peers[last]!.child.signalCode !== null)
    peers[last] = await lab.start(`s${last}`)
    const states = await finished(peers, job, 150_000)
    for (const state of states) expect(state).toMatchObject({ round: ROUNDS, rounds: ROUNDS, error: null })

    const lines = await Promise.all(peers.map((peer) => roundsOf(peer, job)))
    for (const own of lines) {
      expect(own.at(-1)).toMatchObject({ round: ROUNDS })
      for (const { mixed, members, distance } of own) {
        if (mixed !== true) continue
        // A group of three is mixed by all of its three, or not at all.
        expect(members).toBe(3)
        expect(distance).toBeGreaterThan(0)
      }
    }
    // The one that was killed has no round twice, and none of those that it had had before is gone.
    const own = lines[last]!.map(({ round }) => round)
    expect(own).toEqual([...new Set(own)].toSorted((one, other) => one - other))
    expect(own.filter((round) => round <= before).length).toBeGreaterThan(0)
    expect(lines.flat().filter(({ mixed }) => mixed === true).length).toBeGreaterThan(0)

    // Who mixed in the last round has the model of two others, and no other one.
    const mixedLast = peers.filter((_, at) => lines[at]!.some(({ round, mixed }) => round === ROUNDS && mixed === true))
    const models: string[] = []
    for (const { access, home } of mixedLast) {
      await access.federated({ op: 'export', job, out: join(home, 'out') })
      models.push(readFileSync(join(home, 'out', `round-000${ROUNDS}.npz`)).toString('hex'))
    }
    for (const model of models) expect(models.filter((one) => one === model)).toHaveLength(3)
  }, 400_000)
})
