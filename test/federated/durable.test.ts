import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import {
  checkFedPlan,
  Coordinator,
  encodeState,
  FIRST_STATE,
  folderFiles,
  JobView,
  MemberState,
  pipePair,
  planHash,
  stateHash,
} from '../../src/federated/index.ts'
import type { StateFiles } from '../../src/federated/index.ts'
import { voteBytes } from '../../src/federated/rounds/votes.ts'
import { newIdentity, publicKeyBytes } from '../../src/trust/index.ts'
import { clock, createFleet, memoryFiles, TIMES } from './support/fleet.ts'
import type { Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const NEXT = { ...FIRST_STATE, pooled: { records: 100, columns: [] }, global: Float32Array.of(1, 2) }

function standingOf(files: ReturnType<typeof memoryFiles>): { bound: { peers: string[] } | null } | undefined {
  const bytes = files.files.get('standing.json')
  if (bytes === undefined) return undefined
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as { bound: { peers: string[] } | null }
}

describe('what a member has signed', () => {
  test('is on its disk before the signature leaves', async () => {
    const all = Array.from({ length: 3 }, () => memoryFiles())
    // A disk that takes its time: what is not waited for is not there yet.
    const slow = (index: number): StateFiles => ({
      ...all[index]!,
      write: async (name, bytes) => {
        await sleep(20)
        await all[index]!.write(name, bytes)
      },
    })
    const kept: boolean[] = []
    const fleet = await createFleet({
      folder,
      plan: plan({ rounds: 1 }),
      rows: [1, 2, 3].map((seed) => hospitalRows(seed, 40)),
      filesOf: slow,
      times: { ...TIMES, coordinator: { ...TIMES.coordinator, stageMs: 5000, graceMs: 5000 } },
      onMessage: (from: Member, _, kind) => {
        if (kind !== 'consistency') return
        const index = fleet.members.indexOf(from)
        kept.push(standingOf(all[index]!)?.bound?.peers.length === 3)
      },
    })
    try {
      await Promise.all(fleet.members.map(({ over }) => over))
      expect(kept.length).toBeGreaterThanOrEqual(6)
      expect(kept.every(Boolean)).toBe(true)
    } finally {
      await fleet.stop()
    }
  })
})

describe('a disk that fails while a coordinator settles a state', () => {
  test('ends neither the process nor the job: it is logged, and the others are told the state', async () => {
    const identities = [newIdentity(), newIdentity(), newIdentity()]
    const checked = checkFedPlan(plan(), 'plan')
    const job = new JobView({
      id: 'job-1',
      plan: checked,
      planHash: planHash(checked),
      members: identities.map(({ id }) => ({ peer: id, key: publicKeyBytes(id)!, site: id })),
    })
    const files = memoryFiles()
    let isFull = false
    const standing = await MemberState.open({
      ...files,
      write: (name, bytes) => (isFull ? Promise.reject(new Error('no space left')) : files.write(name, bytes)),
    })
    await standing.apply(NEXT, {}, 1)
    isFull = true
    const log: string[] = []
    const coordinator = new Coordinator({
      clock,
      self: identities[0]!,
      job,
      standing,
      admits: () => true,
      isPresent: () => true,
      times: TIMES.coordinator,
      log: (event) => void log.push(event),
    })
    try {
      for (const { id, sign } of identities.map((one) => ({ id: one.id, sign: one.sign.bind(one) }))) {
        const [, theirs] = pipePair(clock, id, identities[0]!.id)
        const hash = stateHash(NEXT)
        const vote = sign(voteBytes('job-1', hash))
        await coordinator.accept(theirs, { job: 'job-1', plan: job.planHash, next: 1, done: 1, state: hash, vote })
      }
      while (!log.includes('state.unsaved')) await sleep(5)
      expect(standing.isCertified).toBe(true)
    } finally {
      coordinator.stop()
    }
  })
})

describe('the standing of a member', () => {
  test('is written whole by whoever writes last, when two write at once', async () => {
    const files = memoryFiles()
    const slow: StateFiles = {
      read: (name) => files.read(name),
      write: async (name, bytes) => {
        // Whoever begins first ends last.
        await sleep(files.files.size === 0 ? 30 : 1)
        await files.write(name, bytes)
      },
    }
    const standing = await MemberState.open(slow)
    const other = { ...NEXT, global: Float32Array.of(3, 4) }
    await Promise.all([standing.apply(NEXT, {}, 1), standing.adopt(other, [], 5), standing.bind(['a'], 7)])
    const again = await MemberState.open(files)
    expect(encodeState(again.current.state)).toEqual(encodeState(other))
    expect(again.next).toBe(7)
    expect(again.bound).toEqual(['a'])
    expect(again.isCertified).toBe(true)
  })

  test('is not forgotten where its file cannot be read', async () => {
    const home = temporaryFolder()
    mkdirSync(join(home, 'standing.json'))
    await expect(MemberState.open(folderFiles(home))).rejects.toMatchObject({
      code: 'WEFT-FED-070',
      why: expect.stringContaining('EISDIR') as string,
    })
    rmSync(home, { recursive: true })
  })
})
