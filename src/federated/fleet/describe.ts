/** A job as people see it: what it is, where it stands, and whom it waits for, how long and why. */
import { errorData, toWeftError } from '../../errors.ts'
import { extentOf } from '../plan/job-plan.ts'
import type { TestHooks } from './hooks.ts'
import type { FederationNeeds } from './needs.ts'
import type { JobFolder } from './job-folder.ts'
import type { RunningJob } from './running-job.ts'

export interface JobStatus {
  readonly schema: 'weft.fed-status/1'
  readonly job: string
  readonly name: string
  readonly plan_hash: string
  readonly author: string
  readonly state: 'offered' | 'joined' | 'running' | 'finished' | 'refused' | 'stopped'
  /** Whether this site has data in it, and said yes to the plan. */
  readonly site: string | null
  readonly approved: boolean
  readonly joined: readonly { readonly peer: string; readonly site: string }[]
  readonly members: readonly {
    readonly peer: string
    readonly name: string
    readonly site: string
    readonly connected: boolean
  }[]
  /** Rounds that are over, of all. */
  readonly round: number
  readonly rounds: number
  /** What this site does now. */
  readonly stage: string | null
  readonly aggregator: string | null
  readonly waits: { readonly for: readonly string[]; readonly ms: number; readonly why: string } | null
  readonly model: string | null
  readonly error: ReturnType<typeof errorData> | null
  /** Of `hold`, `filter` and `record`, what is on at this peer: then its rounds are a test, and no real ones. */
  readonly test_interface: readonly string[]
}

export function describeJob(
  folder: JobFolder,
  running: RunningJob | undefined,
  needs: FederationNeeds,
  hooks: TestHooks,
): JobStatus {
  const { offer, site, start, joins } = folder
  const { plan } = offer
  const members = (start?.members ?? []).map(({ peer, site: of }) => ({
    peer,
    name: needs.nameOf(peer),
    site: of,
    connected: peer === needs.identity.id || needs.isPresent(peer),
  }))
  const standing = running?.standing.current
  const waiting = running?.waiting
  const state = stateOf(folder, running)
  const error = running?.error ?? running?.held
  const { rounds, sumsOfEach } = extentOf(plan)
  return {
    schema: 'weft.fed-status/1',
    job: folder.id,
    name: plan.name,
    plan_hash: offer.plan_hash,
    author: offer.author,
    state,
    site: site.site,
    approved: site.approved?.plan_hash === offer.plan_hash,
    joined: [...joins.values()].map(({ peer, site: of }) => ({ peer, site: of })),
    members,
    round: running?.gossip?.step ?? (standing === undefined ? 0 : Math.floor(standing.state.done / sumsOfEach)),
    rounds,
    stage: running?.stage ?? null,
    aggregator: running?.aggregator ?? null,
    waits:
      waiting === undefined || state !== 'running'
        ? waitsToJoin(folder, state)
        : { for: waiting.peers, ms: Math.round(needs.clock.now() - waiting.since), why: waiting.why },
    model: standing === undefined ? null : Buffer.from(standing.hash).toString('hex'),
    error: error === undefined ? null : errorData(toWeftError(error)),
    test_interface: hooks.on,
  }
}

function waitsToJoin({ offer, joins }: JobFolder, state: JobStatus['state']): JobStatus['waits'] {
  if (state !== 'joined') return null
  const least = offer.plan.minimum?.sites ?? 3
  const why =
    joins.size < least ? `${joins.size} of at least ${least} sites have joined` : 'its author has not started it'
  return { for: [offer.author], ms: 0, why }
}

function stateOf({ site, start }: JobFolder, running: RunningJob | undefined): JobStatus['state'] {
  if (running?.error !== undefined) return 'refused'
  if (running?.isOver === true) return 'finished'
  if (site.stopped !== null) return 'stopped'
  if (running !== undefined || (start !== undefined && site.approved !== null)) return 'running'
  return site.approved === null ? 'offered' : 'joined'
}
