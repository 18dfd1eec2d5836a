/** E8: made-up peers by the hundred say that they hold what is looked for, and crowd round the few that do. */
import type { ModelHoldings } from '../../src/mesh/index.ts'
import type { Membership } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { createWorld, DIGEST, profile } from '../mesh/support/make-mesh.ts'
import type { TestPeer } from '../mesh/support/make-mesh.ts'
import { copyFor, found } from '../trust/support/cluster.ts'
import { least, most } from './attack.ts'
import type { Attack, Size } from './attack.ts'

const MEMBERS = 5
const HELD: ModelHoldings = { model: 'm', digest: DIGEST, tensors: [[0, 2]], stages: [] }

interface Crowded {
  /** Of what a member believes to be holders, the share that are not. */
  readonly wrong: number
  /** Members that know the right holder. */
  readonly right: number
  /** Fewest records of members that a member has. */
  readonly kept: number
}

async function attempt(isDefended: boolean, fakes: number): Promise<Crowded> {
  const world = createWorld()
  try {
    const { cluster, time } = found()
    const identities = Array.from({ length: MEMBERS }, () => newIdentity())
    for (const { id } of identities) cluster.admit({ peer: id, name: '', role: 'member', site: '' })
    const everyone: Membership = { epoch: 0, admits: () => true, isRemoved: () => false }
    const peers: TestPeer[] = []
    for (const identity of identities) {
      const membership = isDefended ? copyFor(cluster, identity, time).membership : everyone
      peers.push(await world.peer({ identity, membership }))
    }
    const crowd: TestPeer[] = []
    for (let n = 0; n < fakes; n++) crowd.push(await world.peer())
    const ids = new Set(peers.map(({ id }) => id))
    for (const [n, one] of [...peers, ...crowd].entries()) {
      await one.mesh.publishProfile(profile(`p${n}`))
      if (!ids.has(one.id) || n === 0) await one.mesh.publishHoldings([HELD])
    }
    for (const [n, one] of peers.entries())
      for (const other of [...peers.slice(n + 1), ...crowd]) world.hub.connect(one.id, other.id)
    await world.clock.advance(40_000)
    const believed = peers.map(({ mesh }) => [...mesh.holdings().keys()])
    const all = believed.flat()
    const known = peers.map(({ mesh }) => mesh.peers().filter(({ id }) => ids.has(id)).length)
    return {
      wrong: all.filter((id) => !ids.has(id)).length / Math.max(1, all.length),
      right: believed.filter((one) => one.includes(peers[0]!.id)).length,
      kept: Math.min(...known),
    }
  } finally {
    await world.end()
  }
}

/** A dozen for each member: with more it is the virtual network that takes the time. */
const fakesOf = (size: Size): number => (size === 'few' ? 10 : 60)

export const sybil: Attack = {
  id: 'E8',
  name: 'made-up peers that say they hold what is looked for',
  async control(size) {
    const { wrong } = await attempt(false, fakesOf(size))
    return [least('share of holders that are made up, in an open mesh', wrong, 0.5)]
  },
  async defended(size) {
    const { wrong, right, kept } = await attempt(true, fakesOf(size))
    return [
      most('share of holders that are made up', wrong, 0),
      least('members that know the right holder', right, MEMBERS),
      least('members that a member knows', kept, 2),
    ]
  },
}
