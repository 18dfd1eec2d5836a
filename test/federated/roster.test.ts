import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { federationRoster } from '../../src/peer/federated-roster.ts'
import { createFleet } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'

let folder: string
beforeEach(() => (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('the roster of a peer', () => {
  const path = (): string => join(folder, 'federated', 'roster.json')
  const roster = (admits?: (peer: string, purpose: string) => boolean): ((peer: string) => boolean) =>
    federationRoster({ state: folder, self: 'me', cluster: admits === undefined ? null : { admits } })

  test('is everybody where there is no file, and nobody where there is one that cannot be read or is none', () => {
    expect(roster()('other')).toBe(true)
    mkdirSync(path(), { recursive: true })
    expect(roster()('other')).toBe(false)
    rmSync(path(), { recursive: true })
    for (const text of ['', '{', 'null', '{"schema":"weft.fed-roster/1","peers":"other"}']) {
      writeFileSync(path(), text)
      expect(roster()('other')).toBe(false)
    }
    writeFileSync(path(), JSON.stringify({ schema: 'weft.fed-roster/1', peers: ['other'] }))
    expect(roster()('other')).toBe(true)
    expect(roster()('third')).toBe(false)
  })

  test('of a cluster is its membership, for federating; a file only leaves peers out', () => {
    const asked: string[] = []
    const isMember = roster((peer, purpose) => {
      asked.push(purpose)
      return peer !== 'guest'
    })
    expect(['member', 'guest', 'me'].map(isMember)).toEqual([true, false, true])
    expect(new Set(asked)).toEqual(new Set(['federate']))
    mkdirSync(join(folder, 'federated'))
    writeFileSync(path(), JSON.stringify({ schema: 'weft.fed-roster/1', peers: ['guest'] }))
    expect(['member', 'guest', 'me'].map(isMember)).toEqual([false, false, true])
  })
})

describe('a peer that the membership does not admit', () => {
  test('makes, joins, approves and starts no job, and nobody joins its own', async () => {
    const mesh = createTestMesh(folder)
    try {
      const [author, other] = [await mesh.site('a'), await mesh.site('b')]
      const { job } = await author.federation.create(plan())
      const data = writeSite(folder, 'b', hospitalRows(1, 40))
      await other.federation.joinJob({ job, data, unapproved: true })
      mesh.removed.add(author.identity.id)
      const refused = { code: 'WEFT-TRU-110' }
      await expect(author.federation.create(plan())).rejects.toMatchObject(refused)
      await expect(author.federation.start(job)).rejects.toMatchObject(refused)
      await expect(other.federation.approve(job)).rejects.toMatchObject(refused)
      await expect(other.federation.joinJob({ job, data })).rejects.toMatchObject(refused)
      expect(other.federation.status(job).approved).toBe(false)
    } finally {
      await mesh.stop()
    }
  })
})

describe('a member that is thrown out in the middle of a round', () => {
  test.each(['shares', 'masked'])(
    'before its "%s" arrives is out at once, gets nothing more, and stops nobody',
    async (stage) => {
      const removed = new Set<string>()
      const told: string[] = []
      let made: Fleet | undefined
      const fleet = await createFleet({
        folder,
        plan: plan({ rounds: 2, minimum: { sites: 3, records: 10 }, deadline: '3s' }),
        rows: [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40, seed)),
        admits: (peer) => !removed.has(peer),
        onMessage: (from: Member, to: Member, kind) => {
          if (removed.has(to.identity.id) && from !== to && !['wait', 'refuse'].includes(kind)) told.push(kind)
          const isTraining = from.standing.current.state.pooled !== null
          if (made !== undefined && isTraining && kind === stage && removed.size === 0) removed.add(from.identity.id)
        },
      })
      made = fleet
      try {
        const out = (): Member => fleet.members.find(({ identity }) => removed.has(identity.id))!
        const others = (): Member[] => fleet.members.filter(({ identity }) => !removed.has(identity.id))
        const first = await Promise.race(fleet.members.map(({ over }) => over))
        expect(first).toBe('over')
        expect(await Promise.all(others().map(({ over }) => over))).toEqual(['over', 'over', 'over'])
        expect(told).toEqual([])
        expect(out().standing.current.state.done).toBe(0)
        const sums = others().flatMap(({ log }) => log.filter(({ event }) => event === 'applied'))
        expect(sums.filter(({ facts }) => facts['members'] === 4 && facts['session'] !== 0)).toEqual([])
      } finally {
        await fleet.stop()
      }
    },
  )
})
