/** What each sum of a round begins with, and what is written down of who drops out of it. */
import type { AggregatorInit } from '../secagg/aggregator.ts'
import { holdersOf } from '../secagg/graph.ts'
import type { Dropped } from './collector-types.ts'
import type { Complaints } from './complaints.ts'
import type { CoordinatorNeeds } from './coordinator-types.ts'
import type { Group } from './job-view.ts'

/** Who is lost in a sum is written down; what it says of another's keys or shares is counted. */
export function droppedIn(
  { standing, log }: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  { name, members, graph, t }: Pick<Group, 'name' | 'members' | 'graph' | 't'>,
): (facts: Dropped) => void {
  return ({ about, ...lost }) => {
    const of = name === '' ? {} : { of: name }
    log('member.lost', { session, ...lost, ...of, ...(about === undefined ? {} : { about }) })
    if (about !== undefined)
      complaints.add(standing.current.hash, { about, by: lost.peer, most: holdersOf(graph, members.length) - t })
  }
}

/** @returns by the number under which the sum was begun */
export function initOf({ job, standing }: CoordinatorNeeds, group: Group): (round: number) => AggregatorInit {
  const { state, hash } = standing.current
  return (round) => ({
    header: job.header(round, state, hash, group),
    members: group.members.map(({ key }) => key),
    noise: job.noiseSd(state),
    graph: group.graph,
    quorum: group.quorum,
  })
}
