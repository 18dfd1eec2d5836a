/** When a coordinator takes up a state for which too few stand, and when one is given up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import {
  checkFedPlan,
  Coordinator,
  encodeState,
  FIRST_STATE,
  JobView,
  MemberState,
  pipePair,
  planHash,
  stateHash,
} from '../../src/federated/index.ts'
import type { FedState, Pipe } from '../../src/federated/index.ts'
import { voteOf } from '../../src/federated/rounds/votes.ts'
import { newIdentity, publicKeyBytes } from '../../src/trust/index.ts'
import { clock, memoryFiles } from './support/fleet.ts'
import { plan } from './support/hospitals.ts'

const NEXT: FedState = { ...FIRST_STATE, pooled: { records: 100, columns: [] }, global: Float32Array.of(1, 2) }
const AFTER: FedState = { ...NEXT, done: 1 }
const ENDS: (() => void)[] = []
afterEach(() => {
  for (const end of ENDS.splice(0)) end()
})

interface Scene {
  readonly standing: MemberState
  readonly graceMs: number
  /** A member comes, and says that it stands for a state; it gives it when it is asked. */
  come(member: number, state: FedState): Promise<string[]>
}

/** Four members, of whom the first aggregates: three stand for a state, and two are followed. */
async function scene(graceMs: number): Promise<Scene> {
  const identities = [1, 2, 3, 4].map(() => newIdentity())
  const checked = checkFedPlan(plan(), 'plan')
  const members = identities.map(({ id }) => ({ peer: id, key: publicKeyBytes(id)!, site: id }))
  const job = new JobView({ id: 'job-1', plan: checked, planHash: planHash(checked), members })
  const standing = await MemberState.open(memoryFiles())
  const coordinator = new Coordinator({
    clock,
    self: identities[0]!,
    job,
    standing,
    admits: () => true,
    isPresent: () => true,
    times: { stageMs: 5000, graceMs, beatMs: 20 },
    log: () => undefined,
  })
  ENDS.push(() => coordinator.stop())
  const come = async (member: number, state: FedState): Promise<string[]> => {
    const identity = identities[member]!
    const [theirs, mine] = pipePair(clock, identity.id, identities[0]!.id)
    const heard: string[] = []
    // It listens until the coordinator is stopped.
    listen(theirs, heard, state).catch(() => undefined)
    const hash = stateHash(state)
    const { signature: vote } = voteOf('job-1', identity, hash)
    const done = state.done + (state.pooled === null ? 0 : 1)
    await coordinator.accept(mine, { job: 'job-1', plan: job.planHash, next: 1, done, state: hash, vote })
    return heard
  }
  return { standing, graceMs, come }
}

async function listen(pipe: Pipe, heard: string[], state: FedState): Promise<void> {
  for (;;) {
    const { kind, body } = await pipe.next(60_000)
    heard.push(kind === 'push' ? `push ${(body['votes'] as unknown[]).length}` : kind)
    if (kind === 'pull') await pipe.send('push', { next: 1, votes: [] }, encodeState(state))
  }
}

async function until(is: () => boolean): Promise<void> {
  while (!is()) await sleep(5)
}

/** Members come again and again, as real ones do: on a busy machine the patience may be over between two that come once. */
async function givesUp(four: Scene): Promise<void> {
  while (!holds(four, FIRST_STATE)) {
    await four.come(1, FIRST_STATE)
    await four.come(2, FIRST_STATE)
    await sleep(four.graceMs)
  }
}

function holds({ standing }: Scene, state: FedState): boolean {
  return Buffer.compare(standing.current.hash, stateHash(state)) === 0
}

describe('a member without the result of a sum', () => {
  test('takes up what two of four stand for, and stands for it as the third', async () => {
    const four = await scene(60_000)
    await four.come(1, NEXT)
    await four.come(2, NEXT)
    await until(() => four.standing.isCertified && holds(four, NEXT))
    expect(four.standing.current.votes).toHaveLength(3)
  })

  test('takes up nothing that one alone stands for, however often it comes', async () => {
    const four = await scene(60_000)
    for (let turn = 0; turn < 3; turn++) {
      const heard = await four.come(1, NEXT)
      await until(() => turn > 0 || heard.includes('pull'))
      await until(() => heard.includes('wait'))
    }
    expect(holds(four, FIRST_STATE)).toBe(true)
  })

  test('skips no sum by the word of two', async () => {
    const four = await scene(60_000)
    for (const member of [1, 2]) {
      const heard = await four.come(member, AFTER)
      await until(() => heard.includes('pull') && heard.includes('wait'))
    }
    expect(holds(four, FIRST_STATE)).toBe(true)
  })
})

describe('a member with a result that most do not have', () => {
  test('keeps it while others may still come with it, and gives it to those that are behind', async () => {
    const four = await scene(60_000)
    await four.standing.apply(NEXT, {}, 1)
    const behind = [await four.come(1, FIRST_STATE), await four.come(2, FIRST_STATE)]
    await until(() => behind.every((heard) => heard.includes('wait')))
    expect(holds(four, NEXT)).toBe(true)
    expect(behind.flat()).not.toContain('push 2')
    await four.come(3, NEXT)
    await until(() => behind.every((heard) => heard.includes('push 2')))
    expect(four.standing.isCertified).toBe(false)
  })

  test('gives it up once nobody else has come with it', async () => {
    const four = await scene(50)
    await four.standing.apply(NEXT, {}, 1)
    await givesUp(four)
    expect(four.standing.isCertified).toBe(true)
  })

  test('takes it up again by its own word and that of one more', async () => {
    const four = await scene(50)
    await four.standing.apply(NEXT, {}, 1)
    await givesUp(four)
    await four.come(3, NEXT)
    await until(() => holds(four, NEXT))
    expect(four.standing.isCertified).toBe(false)
  })
})
