/** Jobs of a federation over real peers, as their commands ask for them. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { JobStatus } from '../../src/federated/index.ts'
import { until } from './support.ts'
import type { RealPeer } from './support.ts'

/** A line of `weft fed rounds`. */
export interface NotedRound {
  readonly event: string
  readonly at: string
  readonly round: number
  readonly members: number | null
  readonly records: number | null
  readonly loss: number | null
  readonly [fact: string]: unknown
}

export async function jobStatus({ access }: RealPeer, job: string): Promise<JobStatus> {
  return (await access.federated({ op: 'status', job })) as JobStatus
}

export async function roundsOf({ access }: RealPeer, job: string): Promise<readonly NotedRound[]> {
  const { rounds } = (await access.federated({ op: 'rounds', job })) as { readonly rounds: readonly NotedRound[] }
  return rounds.filter(({ event }) => event === 'round')
}

/** A folder of a site for what belongs to one job. */
export function siteFolder({ home }: RealPeer, name: string): string {
  const folder = join(home, name)
  mkdirSync(folder, { recursive: true })
  return folder
}

/**
 * Made by the first, joined by all, and started.
 * @param dataOf writes a site's data; the path of its description
 * @param options of a site's `join`
 */
export async function begun(
  peers: readonly RealPeer[],
  plan: object,
  dataOf: (peer: RealPeer, at: number) => string | Promise<string>,
  options: (at: number) => object = () => ({}),
  limit?: number,
): Promise<string> {
  const [author] = peers as [RealPeer]
  const { job } = (await author.access.federated({ op: 'create', plan })) as { readonly job: string }
  for (const [at, peer] of peers.entries()) {
    const data = await dataOf(peer, at)
    await peer.access.federated({ op: 'join', job, data, ...options(at) })
  }
  const areIn = async (): Promise<boolean> => (await jobStatus(author, job)).joined.length === peers.length
  await until('all have joined', areIn, limit)
  await author.access.federated({ op: 'start', job })
  return job
}

export async function finished(peers: readonly RealPeer[], job: string, limit: number): Promise<JobStatus[]> {
  const all = async (): Promise<JobStatus[]> => Promise.all(peers.map((peer) => jobStatus(peer, job)))
  const areOver = async (): Promise<boolean> => {
    const states = await all()
    const refused = states.find(({ state }) => state === 'refused')
    if (refused !== undefined) throw new Error(`a site ended the job for itself: ${JSON.stringify(refused.error)}`)
    return states.every(({ state }) => state === 'finished')
  }
  await until('all are finished', areOver, limit)
  return all()
}
