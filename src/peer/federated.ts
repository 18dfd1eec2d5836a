/** Federations of this peer: the parts that they need, and what the API asks of them by name. */
import { z } from 'zod'
import { Federation, HOLD_STAGES, standingModel, standingRounds } from '../federated/index.ts'
import type { TakingPart } from '../federated/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import { verify } from '../trust/index.ts'
import type { PlanGate } from '../trust/index.ts'
import { meshBases } from './base-models.ts'
import { federationRoster } from './federated-roster.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'
import { callRollouts, rolloutCallSchema } from './rollouts/call.ts'
import type { Rollouts, RolloutSource } from './rollouts/rollouts.ts'
import type { PeerEvent } from './types.ts'

interface FederatedParts {
  readonly network: Network | null
  readonly mesh: () => Mesh | null
  readonly library: Library
  readonly rollouts: Rollouts
}

/** The policy of the site, asked about others alone: what this peer would coordinate for itself leaves it to nobody. */
export function planPermit(gate: PlanGate, self: string): (part: TakingPart) => void {
  return ({ when, peers, ...plan }) => {
    const others = peers.filter((peer) => peer !== self)
    if (when === 'join') for (const peer of others) gate.admitPlan(peer, plan)
    else gate.admitRound(others, plan)
  }
}

/** Federations of a peer, and the roll-outs of their rounds. */
export interface Federated {
  readonly federation: Federation
  readonly rollouts: Rollouts
  stop(): Promise<void>
}

export async function openFederation(
  parts: Parts,
  { network, mesh, library, rollouts }: FederatedParts,
  emit: (event: string, data: PeerEvent['data']) => void,
): Promise<Federated> {
  const { clock, random, identity, paths, threads, logger, store } = parts
  const federation = await Federation.open({
    clock,
    random,
    identity,
    verify: (bytes, signature) => verify(identity.id, bytes, signature),
    network,
    engine: createOrtEngine(),
    threads,
    base: meshBases(library, store),
    paths,
    admits: federationRoster({ state: paths.state, self: identity.id, cluster: parts.cluster }),
    refusal: parts.cluster === null ? undefined : (peer) => parts.cluster!.refusal(peer, 'federate'),
    permit: planPermit(parts.site.gate, identity.id),
    isPresent: (peer) => network?.connected().some(({ id }) => id === peer) ?? false,
    watch: (peer) => network?.watch(peer) ?? (() => undefined),
    // Of a peer that was not heard of since the start there is a record without a name.
    nameOf: (peer) => {
      const known = mesh()
        ?.peers()
        .find(({ id }) => id === peer)
      return (peer === identity.id ? parts.name : known?.name) || peer
    },
    emit: (event, facts) => emit(event, facts),
    log: (facts, text) => logger.warn(facts, text),
  })
  // Alone, beside a running peer, say, nothing goes on.
  if (network !== null) rollouts.follow(sourceOf(federation))
  const stop = async (): Promise<void> => {
    await rollouts.stop()
    await federation.stop()
  }
  return { federation, rollouts, stop }
}

function sourceOf(federation: Federation): RolloutSource {
  return {
    plan(asked) {
      const { offer } = federation.at(asked)
      return { job: offer.job, plan: offer.plan }
    },
    async model(job) {
      const { running } = federation.at(job)
      return running === undefined ? undefined : standingModel(running)
    },
  }
}

const job = z.string().min(1).max(200)
const path = z.string().min(1).max(4096)

export const federatedCallSchema = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('create'), plan: z.unknown() }),
  z.strictObject({
    op: z.literal('join'),
    job,
    data: path,
    trainer: z.string().max(4096).optional(),
    hash: z.string().max(64).optional(),
    cap: z.number().positive().optional(),
    unapproved: z.boolean().optional(),
    hold: z.partialRecord(z.enum(HOLD_STAGES), z.number().min(0).max(3_600_000)).optional(),
    record: path.optional(),
  }),
  z.strictObject({ op: z.literal('approve'), job, hash: z.string().max(64).optional() }),
  z.strictObject({ op: z.enum(['leave', 'stop']), job, why: z.string().max(200).optional() }),
  z.strictObject({
    op: z.literal('start'),
    job,
    filter: z.string().max(4096).optional(),
    record: path.optional(),
  }),
  z.strictObject({ op: z.literal('status'), job: job.optional() }),
  z.strictObject({ op: z.enum(['rounds', 'log', 'results']), job }),
  z.strictObject({ op: z.literal('export'), job, out: path }),
  z.strictObject({ op: z.literal('budget') }),
  rolloutCallSchema,
])

export type FederatedCall = z.output<typeof federatedCallSchema>

/** One document for each question. @throws the refusals of federations */
export async function callFederation(
  { federation, rollouts }: Pick<Federated, 'federation' | 'rollouts'>,
  call: FederatedCall,
  signal?: AbortSignal,
): Promise<object> {
  switch (call.op) {
    case 'create': {
      const { job: id, plan_hash, author, created } = await federation.create(call.plan)
      return { schema: 'weft.fed-created/1', job: id, plan_hash, author, created }
    }
    case 'join': {
      const { op: _, hold, record, trainer, hash, cap, unapproved, ...rest } = call
      const options = {
        test: { hold, record },
        ...(trainer === undefined ? {} : { trainer }),
        ...(hash === undefined ? {} : { hash }),
        ...(cap === undefined ? {} : { cap }),
        ...(unapproved === undefined ? {} : { unapproved }),
      }
      return federation.joinJob({ ...rest, ...options }, signal)
    }
    case 'approve':
      return federation.approve(call.job, call.hash)
    case 'leave':
    case 'stop':
      return federation.leave(call.job, call.why ?? `weft fed ${call.op}`)
    case 'start':
      return federation.start(call.job, { filter: call.filter, record: call.record })
    case 'status':
      return call.job === undefined
        ? { schema: 'weft.fed-jobs/1', jobs: federation.jobs() }
        : federation.status(call.job)
    case 'rounds':
      return { schema: 'weft.fed-rounds/1', job: call.job, rounds: standingRounds(await federation.events(call.job)) }
    case 'log':
      return { schema: 'weft.fed-log/1', job: call.job, events: await federation.events(call.job) }
    case 'results':
      return federation.results(call.job)
    case 'export':
      return federation.export(call.job, call.out)
    case 'rollout':
      return callRollouts(rollouts, call)
    default:
      return federation.budget()
  }
}
