/** A plan trained by several: data, parameters and optimizer stay with this peer, the gradients of a step are peers' work. */
import { join } from 'node:path'
import { hostedEngine, MeshGradients } from '../pipeline/index.ts'
import type { Sharer } from '../pipeline/index.ts'
import { elementsOf, gradientTaskText, trainPlan } from '../training/index.ts'
import type { GradientJob, GradientLine, OpenGradients } from '../training/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { OptionError } from './errors.ts'
import type { TrainedOver, TrainMeshNeeds, TrainOverRequest } from './train-mesh.ts'
import type { ProgressSink } from './types.ts'

const COUNTED = ['micro_batches', 'gradient_bytes', 'shares_recomputed', 'sharers_returned'] as const

/** @throws what training and peers throw */
export async function trainShared(
  needs: TrainMeshNeeds,
  request: TrainOverRequest,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<TrainedOver> {
  const counters: Record<string, number> = Object.fromEntries(COUNTED.map((name) => [name, 0]))
  const count = (name: string, by = 1): void => {
    if (name in counters) counters[name] = counters[name]! + by
    needs.count(name as Parameters<Telemetry['count']>[0], by)
  }
  let line: MeshGradients | undefined
  const peers = peersOf(request.peers ?? [], needs.self)
  needs.convicted.refuse(peers)
  const open = async (job: GradientJob, end?: AbortSignal): Promise<GradientLine> => {
    const made = (line = new MeshGradients(
      { service: needs.sharing, clock: needs.clock, random: needs.random, watch: needs.watch, count },
      { ...sessionOf(job), peers },
    ))
    await made.open(end).catch(async (error: unknown) => {
      await made.close()
      throw error
    })
    return made
  }
  const { clock, paths } = needs
  const engine = hostedEngine({ clock, codeCache: join(paths.cache, 'code') })
  const gradients: OpenGradients | undefined = peers.length === 0 ? undefined : { count: peers.length, open }
  const outcome = await trainPlan({ clock: needs.clock, engine, gradients }, request, progress, signal)
  const sharers: readonly Sharer[] = line?.sharers ?? []
  return { ...outcome, routes: [], sharers, counters }
}

/** @throws OptionError */
function peersOf(named: readonly string[], self: string): readonly string[] {
  const peers = named.map((peer) => (peer === ORIGIN ? self : peer))
  const twice = peers.find((peer, at) => peers.indexOf(peer) !== at)
  if (twice !== undefined) throw new OptionError('peers', `names ${twice} twice`)
  return peers
}

type Session = Omit<ConstructorParameters<typeof MeshGradients>[1], 'peers'>

function sessionOf({ task, name, parameters, threads, gradients }: GradientJob): Session {
  const { bytes, digest } = gradientTaskText(task)
  const rounded = gradients === 'int8' ? { gradients } : {}
  return { name, task: bytes, parameters, open: { digest, parameters: elementsOf(parameters), threads, ...rounded } }
}
