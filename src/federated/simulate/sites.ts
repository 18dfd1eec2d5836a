/** `weft fed simulate`: a whole federation here, each data file a site, or one file under thousands of virtual clients. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeNpz } from '../../data/index.ts'
import { writeFileAtomic, makeFolders } from '../../store/index.ts'
import { FedPlanError } from '../plan/errors.ts'
import { readFedData } from '../plan/read-plan.ts'
import { checkClusterSites, clusterSizes } from '../plan/clusters.ts'
import { checkGossipSites } from '../plan/gossip.ts'
import { checkBears } from '../plan/robust.ts'
import type { FedPlan } from '../plan/schema.ts'
import { planHash } from '../plan-hash.ts'
import { RoundMath } from '../rounds/math.ts'
import type { FedState } from '../rounds/state.ts'
import { tensorsOf } from '../site/parameters.ts'
import type { LocalTrainer, TrainerNeeds } from '../site/local-trainer.ts'
import { openTrainer } from '../site/open-trainer.ts'
import { statisticsFile } from '../fleet/export.ts'
import { roundFile } from '../fleet/standing-model.ts'
import { curvePng, curveSvg } from './curve.ts'
import { GossipSimulation } from './gossip.ts'
import { LocalPool } from './pool.ts'
import { SharedPool } from './shared-pool.ts'
import { Simulation } from './simulation.ts'
import type { SimulatedRound } from './simulation.ts'
import { simulationJob } from './spec.ts'
import type { SimulationSpec } from './spec.ts'
import { ThreadShare } from './thread-share.ts'
import { openVirtualClients } from './virtual-clients.ts'
import type { VirtualInit } from './virtual-clients.ts'

export interface SimulateRequest {
  readonly plan: FedPlan
  /** Paths of data files. */
  readonly data: readonly string[]
  readonly out: string
  readonly spec: SimulationSpec
}

export type SimulateNeeds = Pick<TrainerNeeds, 'base' | 'clock' | 'engine'>

export interface Progress {
  readonly type: 'progress'
  readonly task: string
  readonly done: number
  readonly total: number
  readonly unit: 'steps'
  readonly detail?: string
}

export interface SimulationResult {
  readonly schema: 'weft.fed-result/1'
  readonly plan: string
  readonly rounds: readonly SimulatedRound[]
  readonly metrics: { readonly sites: Readonly<Record<string, Readonly<Record<string, number>>>> }
}

/** Files that are written for so many sites; of thousands, one line for all is enough. */
const MOST_SITES = 100
/** With fewer clients a thread's start costs more than it brings. */
const LEAST_FOR_THREADS = 64

/** @throws FedPlanError, and what data and training throw */
export async function simulateFederation(
  needs: SimulateNeeds,
  request: SimulateRequest,
  sink: (progress: Progress) => void = () => undefined,
  signal?: AbortSignal,
): Promise<SimulationResult> {
  const { plan, out, spec } = request
  await makeFolders(out)
  const work = await mkdtemp(join(tmpdir(), 'weft-simulate-'))
  let pool: Pool | undefined
  try {
    pool =
      spec.clients === undefined
        ? await sitesOf(needs, request, work, signal)
        : await clientsOf(needs, request, work, signal)
    checkSpec(plan, pool.names, spec)
    checkBears(plan, pool.names.length)
    checkClusterSites(plan, pool.names)
    checkGossipSites(plan, pool.names.length)
    const full = { ...spec, masks: spec.masks ?? spec.clients === undefined }
    const gossip = plan.gossip === undefined ? undefined : new GossipSimulation(plan, pool, full)
    const simulation = gossip ?? new Simulation(plan, pool, full)
    const weightsOf = async (state: FedState): Promise<Float32Array> =>
      gossip?.model(0) ?? (await pool!.weights(state, 0))
    const rounds = await simulation.run(
      {
        applied: async (state, line, isLast) => {
          const detail =
            line.loss === null ? `${line.sites} sites` : `${line.sites} sites, loss ${line.loss.toPrecision(4)}`
          sink({
            type: 'progress',
            task: `simulating ${plan.name}`,
            done: line.round,
            total: plan.rounds,
            unit: 'steps',
            detail,
          })
          if (!isLast) return
          const weights = await weightsOf(state)
          const tensors = new Map(Object.entries(tensorsOf(pool!.trainer(0).shapes(), weights)))
          await writeNpz(join(out, roundFile(line.round)), tensors)
        },
      },
      signal,
    )
    const { state } = simulation
    if (state.pooled === null) throw new FedPlanError(plan.name, 'minimum', 'no round had enough sites')
    const shown = spec.clients === undefined ? pool.names.slice(0, MOST_SITES) : pool.names.slice(0, 1)
    const sites: Record<string, Readonly<Record<string, number>>> = {}
    for (const [client, name] of shown.entries()) {
      const { testRecords: n } = pool.trainer(client)
      const own = await (gossip === undefined ? undefined : pool.trainer(client).metrics(gossip.model(client), 'test'))
      sites[name] = gossip === undefined ? await pool.metrics(state, client) : { n, ...own }
    }
    await dropRounds(out, plan.rounds)
    const hash = Buffer.from(planHash(plan)).toString('hex')
    const result: SimulationResult = { schema: 'weft.fed-result/1', plan: hash, rounds, metrics: { sites } }
    const put = (name: string, content: string | Uint8Array): Promise<void> =>
      writeFileAtomic(join(out, name), content, { exported: true })
    await put('statistics.json', `${JSON.stringify(statisticsFile(state.pooled), null, 2)}\n`)
    await put('result.json', `${JSON.stringify(result, null, 2)}\n`)
    await put('curve.svg', curveSvg(plan.name, rounds))
    await put('curve.png', curvePng(rounds))
    await pool.trainer(0).write(await weightsOf(state), out)
    return result
  } finally {
    await pool?.close()
    await rm(work, { recursive: true, force: true })
  }
}

/** Models of a simulation before this one that had more rounds: together they would look like one. */
async function dropRounds(out: string, rounds: number): Promise<void> {
  const later = (await readdir(out)).filter((name) => Number(/^round-(\d{4,})\.npz$/.exec(name)?.[1] ?? 0) > rounds)
  for (const name of later) await rm(join(out, name))
}

/** What would be passed over in silence: then the simulation would be of something else. @throws FedPlanError */
function checkSpec(plan: FedPlan, names: readonly string[], { drops, fraction }: SimulationSpec): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(plan.name, field, why)
  const isMasked = (plan.secagg ?? 'off') !== 'off'
  const least = Math.max(plan.minimum?.sites ?? 3, isMasked ? 3 : 1)
  if (names.length < least)
    throw wrong(
      'minimum.sites',
      `is ${least} at least, and there are ${names.length} sites: give each a data file of its own`,
    )
  if (fraction === 0) throw wrong('fraction', 'of 0 asks nobody')
  for (const [round, sites] of drops ?? []) {
    if (round < 1 || round > plan.rounds) throw wrong('drop', `names round ${round}, and there are 1 to ${plan.rounds}`)
    const stranger = [...sites].find((site) => !names.includes(site))
    if (stranger !== undefined)
      throw wrong('drop', `names ${JSON.stringify(stranger)}, and there are ${names.slice(0, 20).join(', ')}`)
  }
}

type Pool = LocalPool | SharedPool

/** Each data file a site. */
async function sitesOf(
  needs: SimulateNeeds,
  { plan, data, spec }: SimulateRequest,
  work: string,
  signal?: AbortSignal,
): Promise<LocalPool> {
  const list: LocalTrainer[] = []
  try {
    for (const [index, path] of data.entries()) {
      const folder = join(work, String(index))
      await makeFolders(folder)
      list.push(await openTrainer({ ...needs, folder, threads: 1 }, plan, await readFedData(path), signal))
    }
    const twice = list.find(({ site }, index) => list.findIndex((other) => other.site === site) !== index)
    if (twice !== undefined) throw new FedPlanError(twice.site, 'site', 'two data files have this name')
    const names = list.map(({ site }) => site)
    const math = new RoundMath(plan, list.length, simulationJob(spec.seed), clusterSizes(plan, names))
    return new LocalPool(list, math, spec.seed)
  } catch (error) {
    for (const trainer of list) await trainer.close()
    throw error
  }
}

/** One data file under virtual clients, in equal shares over threads. */
async function clientsOf(
  needs: SimulateNeeds,
  { plan, data, spec }: SimulateRequest,
  work: string,
  signal?: AbortSignal,
): Promise<SharedPool> {
  const [path] = data
  if (path === undefined || data.length > 1) throw new FedPlanError(plan.name, 'data', 'virtual clients share one file')
  const { clients = 0, threads: asked = clients < LEAST_FOR_THREADS ? 1 : availableParallelism() } = spec
  // Clients of a gossip have models of their own, which stay in one thread.
  const threads = plan.gossip === undefined ? asked : 1
  const count = Math.max(1, Math.min(threads, clients))
  const share = (at: number): VirtualInit => ({
    plan,
    path,
    folder: work,
    spec: { seed: spec.seed, skew: spec.skew, clients },
    from: Math.floor((at * clients) / count),
    to: Math.floor(((at + 1) * clients) / count),
  })
  const { list, whole } = await openVirtualClients(needs, share(0), signal)
  const math = new RoundMath(plan, clients, simulationJob(spec.seed))
  const own = new LocalPool(list, math, spec.seed, 0, whole)
  const shares = Array.from({ length: count - 1 }, (_, at) => new ThreadShare(share(at + 1)))
  try {
    return await SharedPool.open(own, shares)
  } catch (error) {
    await Promise.all(shares.map((one) => one.end()))
    await own.close()
    throw error
  }
}
