/** A job as people see it: what it is, where it stands, and whom it waits for, how long and why. */
import { errorData, toWeftError } from '../../errors.ts'
import { extentOf } from '../plan/job-plan.ts'
import type { TestHooks } from './hooks.ts'
import type { FederationNeeds } from './needs.ts'
import type { MemberState } from '../rounds/member-state.ts'
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
  readonly joined: readonly { readonly peer: string; readonly name: string; readonly site: string }[]
  readonly members: readonly {
    readonly peer: string
    readonly name: string
    readonly site: string
    readonly connected: boolean
    /** It has said that it takes no part any more. */
    readonly left: boolean
  }[]
  /** Rounds that are over, of all. */
  readonly round: number
  readonly rounds: number
  /** What this site does now. */
  readonly stage: string | null
  readonly aggregator: string | null
  /** `for` are PeerIds, `names` what they are called, in the same order; none: it is not known whom. */
  readonly waits: {
    readonly for: readonly string[]
    readonly names: readonly string[]
    readonly ms: number
    readonly why: string
  } | null
  readonly model: string | null
  readonly error: ReturnType<typeof errorData> | null
  /** Why this site takes no part any more, by who stopped it. */
  readonly stopped: string | null
  /** Of `hold`, `filter` and `record`, what is on at this peer: then its rounds are a test, and no real ones. */
  readonly test_interface: readonly string[]
}

interface JobHere {
  readonly folder: JobFolder
  readonly running: RunningJob | undefined
  /** Of one that is stopped too. */
  readonly standing: MemberState | undefined
}

export function describeJob(here: JobHere, needs: FederationNeeds, hooks: TestHooks): JobStatus {
  const { folder, running } = here
  const { offer, site, start, joins } = folder
  const { plan } = offer
  const members = (start?.members ?? []).map(({ peer, site: of }) => ({
    peer,
    name: needs.nameOf(peer),
    site: of,
    connected: peer === needs.identity.id || needs.isPresent(peer),
    left: running?.gone.has(peer) ?? false,
  }))
  const standing = here.standing?.current
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
    // What this site has taken back stands here until its author has heard of it.
    joined: [...joins.values()].flatMap(({ peer, site: of }) =>
      peer === needs.identity.id && site.stopped !== null ? [] : [{ peer, name: needs.nameOf(peer), site: of }],
    ),
    members,
    round: running?.gossip?.step ?? (standing === undefined ? 0 : Math.floor(standing.state.done / sumsOfEach)),
    rounds,
    stage: running?.stage ?? null,
    aggregator: running?.aggregator ?? null,
    waits:
      waiting === undefined || state !== 'running'
        ? waitsToStart(folder, state, needs)
        : {
            for: waiting.peers,
            names: waiting.peers.map((peer) => needs.nameOf(peer)),
            ms: Math.round(needs.clock.now() - waiting.since),
            why: waiting.why,
          },
    model: standing === undefined ? null : Buffer.from(standing.hash).toString('hex'),
    error: error === undefined ? null : errorData(toWeftError(error)),
    stopped: state === 'stopped' ? site.stopped : null,
    test_interface: hooks.on,
  }
}

/** Who has joined is known to the author alone; the others wait for it. */
function waitsToStart(
  { offer: { author, plan }, site, joins }: JobFolder,
  state: JobStatus['state'],
  { clock, identity, nameOf }: FederationNeeds,
): JobStatus['waits'] {
  if (state !== 'joined') return null
  const least = plan.minimum?.sites ?? 3
  const isShort = author === identity.id && joins.size < least
  const ms = Math.max(0, clock.wall() - Date.parse(site.approved?.at ?? ''))
  return {
    for: isShort ? [] : [author],
    names: isShort ? [] : [nameOf(author)],
    ms: Number.isFinite(ms) ? ms : 0,
    why: isShort ? `${joins.size} of at least ${least} sites have joined` : 'its author has not started it',
  }
}

function stateOf({ site, start }: JobFolder, running: RunningJob | undefined): JobStatus['state'] {
  if (running?.error !== undefined) return 'refused'
  if (running?.isOver === true) return 'finished'
  if (site.stopped !== null) return 'stopped'
  if (running !== undefined || (start !== undefined && site.approved !== null)) return 'running'
  return site.approved === null ? 'offered' : 'joined'
}
