/** Two histories and more: which one stands does not depend on which was seen first, and nobody writes into the past. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  adoptLog,
  atOnce,
  composeAdmit,
  composeCheckpoint,
  composeRevoke,
  composeRotate,
  composeSetAdmins,
  copyState,
  decideFork,
  decodeEntry,
  memoryLogStore,
  newIdentity,
  sealEntry,
} from '../../src/trust/index.ts'
import { apply } from '../../src/trust/membership/apply.ts'
import type { Cluster, ClusterState, Entry, EntryBody, Identity, MembershipLog } from '../../src/trust/index.ts'
import { isWhole } from '../whole.ts'
import { all, copyFor, found, random } from './support/cluster.ts'
import type { Founded } from './support/cluster.ts'

const RUNS = isWhole ? 400 : 40
const needs = { random, wall: () => 1_700_000_000_000 }
const groupKey = new Uint8Array(32)

interface Base extends Founded {
  readonly admins: readonly Identity[]
  readonly members: readonly Identity[]
  readonly entries: readonly Entry[]
}

function base(admins: number, members: number, k = 1): Base {
  const founded = found({ k, n: admins })
  const { cluster } = founded
  const let_in = (count: number, role: 'admin' | 'member'): Identity[] =>
    Array.from({ length: count }, () => {
      const identity = newIdentity()
      cluster.admit({ peer: identity.id, name: '', role, site: '' })
      return identity
    })
  const others = let_in(admins - 1, 'admin')
  const plain = let_in(members, 'member')
  return {
    ...founded,
    admins: [founded.founder, ...others],
    members: plain,
    entries: all(cluster).map(decodeEntry),
  }
}

interface Node {
  readonly state: ClusterState
  readonly chain: readonly Entry[]
}

/** One step of a random history: what is asked for, or undefined where the membership does not allow it. */
function grow({ admins, members, root }: Base, { state, chain }: Node, what: number, who: number): Node | undefined {
  const signer = admins[who % admins.length]!
  const other = admins[(who + 1 + (what % (admins.length - 1))) % admins.length]!
  const member = members[what % members.length]!
  const bodies: readonly (() => EntryBody)[] = [
    () => composeAdmit(needs, state, joiner(), { inviter: signer.id, groupKey }),
    () => composeRevoke(needs, state, member.id, { reason: 'lost' }),
    () => composeRevoke(needs, state, other.id, { reason: 'stolen' }),
    () => composeSetAdmins(needs, state, [signer.id], { k: 1, n: admins.length }),
    () => composeRotate(needs, state),
    () => composeCheckpoint(needs, state),
    () => composeSetAdmins(needs, state, [member.id, other.id], { k: 1, n: 2 }),
  ]
  const which = what % bodies.length
  const next = copyState(state)
  try {
    const entry = sealEntry(bodies[which]!(), which === 6 ? root : signer)
    apply(next, entry)
    return { state: next, chain: [...chain, entry] }
  } catch {
    return undefined
  }
}

const joiner = () => ({ peer: newIdentity().id, name: '', role: 'member' as const, site: '' })

function logOf({ cluster }: Base, chain: readonly Entry[]): MembershipLog {
  return adoptLog(memoryLogStore(), cluster.id, chain)
}

function headOf(chain: readonly Entry[]): string {
  return chain.at(-1)!.hash
}

/** As `mergeFork` asks it, of two whole chains. */
function decide(of: Base, a: readonly Entry[], b: readonly Entry[]): string {
  const at = a.findIndex((entry, height) => entry.hash !== b[height]?.hash)
  if (at < 0) return 'theirs'
  if (b.length <= at) return 'ours'
  const { state } = logOf(of, a.slice(0, at))
  return decideFork(state, a.slice(at), b.slice(at))
}

function mirrored(decision: string): string {
  return decision === 'ours' ? 'theirs' : decision === 'theirs' ? 'ours' : decision
}

describe('random histories', () => {
  test('both sides decide alike, and any order of arrival ends with the same log, or with what no rule decides', () => {
    let [undecided, same] = [0, 0]
    const step = fc.record({ from: fc.nat(), what: fc.nat(), who: fc.nat() })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 3, maxLength: 10 }),
        fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
        (steps, order) => {
          const of = base(3, 2)
          const nodes: Node[] = [{ state: copyState(of.cluster.log.state), chain: of.entries }]
          for (const { from, what, who } of steps) {
            // mostly where it was left off, so that histories get long, and now and then in the past
            const at = from % 2 === 0 ? nodes[from % nodes.length]! : nodes.at(-1)!
            const next = grow(of, at, what, who)
            if (next !== undefined && nodes.every(({ chain }) => headOf(chain) !== headOf(next.chain))) nodes.push(next)
          }
          const chains = nodes.map(({ chain }) => chain)
          const pairs = chains.flatMap((a, i) => chains.slice(i + 1).map((b) => [a, b] as const))
          const decisions = pairs.map(([a, b]) => decide(of, a, b))
          expect(pairs.map(([a, b]) => mirrored(decide(of, b, a)))).toEqual(decisions)
          const ends = [0, 1, 2, 3].map((replica) => {
            const log = logOf(of, chains[order[replica]! % chains.length]!)
            // again and again, as members do, each time in another order: until nothing changes any more
            for (let round = 0, before = ''; before !== log.head.hash; round++) {
              expect(round).toBeLessThan(2 * chains.length)
              before = log.head.hash
              const sorted = chains.map((chain, index) => ({ chain, key: order[(index + round * replica) % 24]! }))
              for (const { chain } of sorted.toSorted((a, b) => a.key - b.key)) atOnce(log.merge(chain, 0))
            }
            return log
          })
          const standing = ends.map((log) => log.entries(0, 1_000).map(decodeEntry))
          for (const one of standing) {
            for (const chain of chains)
              expect(decide(of, one, chain)).not.toBe(headOf(one) === headOf(chain) ? '' : 'theirs')
            for (const other of standing)
              if (headOf(one) !== headOf(other)) expect(decide(of, one, other)).toBe('undecided')
          }
          if (decisions.includes('undecided')) undecided++
          else {
            same++
            expect(new Set(standing.map(headOf)).size).toBe(1)
          }
        },
      ),
      { numRuns: RUNS },
    )
    // both happen, or nothing was looked at
    expect(Math.min(undecided, same)).toBeGreaterThan(0)
  }, 120_000)
})

describe('an admin that was thrown out', () => {
  function thrownOut(): {
    readonly of: Base
    readonly honest: Cluster
    readonly thief: Identity
    readonly stolen: Cluster
  } {
    const of = base(2, 2)
    const thief = of.admins[1]!
    const stolen = copyFor(of.cluster, thief, of.time)
    of.cluster.revoke(thief.id, 'stolen')
    return { of, honest: of.cluster, thief, stolen }
  }

  test('does not come back by a checkpoint that it writes into the past', async () => {
    const { of, honest, thief, stolen } = thrownOut()
    stolen.admit(joiner())
    stolen.commit(composeCheckpoint(needs, stolen.log.state))
    const sleeper = copyFor(stolen, of.members[0]!, of.time)
    await honest.merge(all(stolen))
    await sleeper.merge(all(honest))
    for (const one of [honest, sleeper]) {
      expect(one.membership.isRemoved(thief.id)).toBe(true)
      expect(one.head.hash).toBe(honest.head.hash)
      expect(one.view().forks).toMatchObject([{ decided: true }])
    }
  })

  test('nor does one that a long history follows, behind a checkpoint of its own', async () => {
    const { of, honest, thief, stolen } = thrownOut()
    const rotated = (log: Cluster): void => {
      for (let n = 0; n < 520; n++) log.commit(composeRotate(needs, log.log.state))
    }
    rotated(stolen)
    rotated(honest)
    expect([stolen, honest].map((one) => one.log.state.checkpoint > 500)).toEqual([true, true])
    const sleeper = copyFor(stolen, of.members[0]!, of.time)
    await honest.merge(all(stolen))
    await sleeper.merge(all(honest))
    for (const one of [honest, sleeper]) expect(one.membership.isRemoved(thief.id)).toBe(true)
    expect(sleeper.head).toEqual(honest.head)
  }, 60_000)

  test('and throws out the other one in the past: nobody decides but the root key, and then both see it', async () => {
    const { of, honest, thief, stolen } = thrownOut()
    // as many tries as it likes for a smaller hash
    for (let n = 0; n < 3; n++) stolen.admit(joiner())
    stolen.revoke(honest.self, 'out of spite')
    const [awake, asleep] = [copyFor(honest, of.members[0]!, of.time), copyFor(stolen, of.members[1]!, of.time)]
    await awake.merge(all(stolen))
    await asleep.merge(all(honest))
    expect(awake.membership.isRemoved(thief.id)).toBe(true)
    expect(awake.membership.admits(honest.self, 'connect')).toBe(true)
    for (const one of [awake, asleep]) expect(one.view().forks).toMatchObject([{ decided: false }])
    // what came once is not asked for again
    expect([awake.log.isOutdone(stolen.head.hash), asleep.log.isOutdone(honest.head.hash)]).toEqual([true, true])
    const recovery = composeSetAdmins(needs, honest.log.state, [honest.self], { k: 1, n: 1 })
    honest.take(sealEntry(recovery, of.root))
    await asleep.merge(all(honest))
    await awake.merge(all(honest))
    for (const one of [awake, asleep]) {
      expect(one.head).toEqual(honest.head)
      expect(one.membership.isRemoved(thief.id)).toBe(true)
      expect(one.view().forks.every(({ decided }) => decided)).toBe(true)
    }
  })

  test('alone, where two must sign, takes nothing from anybody', async () => {
    const of = base(3, 2, 2)
    const [a, b, thief] = of.admins as [Identity, Identity, Identity]
    const stolen = copyFor(of.cluster, thief, of.time)
    const body = composeRevoke(needs, of.cluster.log.state, thief.id, { reason: 'stolen' })
    of.cluster.take(sealEntry(body, a, b))
    for (let n = 0; n < 4; n++) stolen.admit(joiner())
    await of.cluster.merge(all(stolen))
    expect(of.cluster.membership.isRemoved(thief.id)).toBe(true)
    expect(of.cluster.view().forks).toMatchObject([{ decided: true }])
  })
})
