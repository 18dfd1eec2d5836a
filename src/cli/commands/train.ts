/** weft train PLAN: a plan in, a folder with a model out. */
import { basename, resolve } from 'node:path'
import type { TrainedOver } from '../../peer/index.ts'
import type { ReadPlan, TrainOutcome, TrainRequest, TrainResult } from '../../training/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { isId, knownPeers, namedPlacement } from '../named-placement.ts'
import { placementOption, placementTexts } from '../placement-file.ts'
import { plural } from '../format.ts'
import { createProgress } from '../progress.ts'
import type { ProgressDisplay } from '../progress.ts'
import { loadFunction } from '../rooms.ts'
import { printable, table } from '../text.ts'
import { namesOf, peerName } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, io, out } = context
  const plan = flags.required(0)
  const folder = resolve(flags.text('out') ?? basename(plan).replace(/\.json$/, ''))
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const request = {
    plan,
    out: folder,
    resume: flags.flag('resume'),
    seed: flags.number('seed'),
    threads: flags.number('threads'),
  }
  const { plan: read } = (await (await loadFunction('training', 'readPlan'))(plan)) as ReadPlan
  const outcome = await (read.model.kind === 'base'
    ? trainedAdapter(context, request, read.model.name, progress)
    : trained(context, request, progress))
  const { result, resumed } = outcome
  progress.end()
  if (resumed !== null) out.note(`went on from step ${resumed}`)
  if (out.structured) {
    out.document({ ...result, folder, ...sharedFacts(outcome) })
    return
  }
  out.lines(linesOf(result))
  out.note(`${printable(folder)} holds ${result.files.map((file) => printable(file)).join(', ')}`)
}

async function trained(
  context: CommandContext,
  request: TrainRequest,
  progress: ProgressDisplay,
): Promise<TrainOutcome | TrainedOver> {
  const { flags, io, signal } = context
  if (flags.texts('peer').length > 0) return trainedByPeers(context, request, progress)
  if (flags.texts('placement').some((text) => text !== 'local'))
    throw new UsageError('--placement is for an adapter', 'any other plan is shared with --peer PEER')
  const [trainPlan, createOrtEngine] = [
    await loadFunction('training', 'trainPlan'),
    await loadFunction('onnx', 'createOrtEngine'),
  ]
  const needs = { clock: io.clock, engine: createOrtEngine() }
  return (await trainPlan(needs, request, progress.sink, signal)) as TrainOutcome
}

/** Data, parameters and optimizer stay with the running peer; those that are named compute the gradients of each step. */
async function trainedByPeers(
  context: CommandContext,
  request: TrainRequest,
  progress: ProgressDisplay,
): Promise<TrainedOver> {
  const { flags, out, signal } = context
  if (flags.flag('local')) throw new UsageError('--local and --peer: one of them', 'local asks no peer')
  const running = await openFor(context, 'never')
  const wanted = flags.texts('peer')
  const known = wanted.every((one) => isId(one)) ? [] : await knownPeers(running, signal)
  const peers = wanted.map((one) => (isId(one) ? one : findPeer(known, one).id))
  const asked = { ...request, plan: resolve(request.plan), peers }
  const outcome = await running.train(asked, progress.sink, signal)
  progress.end()
  const names = namesOf(await running.status(signal))
  const shares = outcome.sharers.map(({ peer, shares: told }) => `${peerName(names, peer)} ${told}`)
  out.note(`shares computed at ${shares.join(', ')}`)
  const kernels = new Set(outcome.sharers.map(({ kernel, threads }) => `${kernel} with ${threads} threads`))
  if (kernels.size > 1)
    out.note(`they compute differently, so the bits depend on who computed what: ${[...kernels].join('; ')}`)
  out.note(countersText(outcome))
  return outcome
}

/** Who computed, and how it went; nothing where this process did all. */
function sharedFacts(outcome: TrainOutcome | TrainedOver): Partial<Pick<TrainedOver, 'sharers' | 'counters'>> {
  return 'counters' in outcome ? { sharers: outcome.sharers, counters: outcome.counters } : {}
}

function countersText({ counters }: TrainedOver): string {
  return Object.entries(counters)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

/**
 * The base model stays as it is: of this home, or fetched first where the catalogue knows it. With a placement its layers are
 * at peers, and the running peer does the rest.
 */
async function trainedAdapter(
  context: CommandContext,
  request: TrainRequest,
  base: string,
  progress: ProgressDisplay,
): Promise<TrainOutcome | TrainedOver> {
  if (context.flags.texts('peer').length > 0)
    throw new UsageError(
      '--peer is for a plan that is no adapter',
      'where its layers are computed says --placement FILE',
    )
  const placements = await Promise.all(placementTexts(context.flags).map((each) => placementOption(each, base)))
  if (placements.length > 0 && placements[0] !== 'local') {
    const running = await openFor(context, 'never')
    const named = await Promise.all(placements.map((each) => namedPlacement(running, each, context.signal)))
    const lines = named.flatMap((each) => (typeof each === 'object' ? [each.stages] : []))
    const asked = { ...request, plan: resolve(request.plan), ...(lines.length === 0 ? {} : { lines }) }
    const outcome = await running.train(asked, progress.sink, context.signal)
    progress.end()
    const { routes } = outcome
    const names = namesOf(await running.status(context.signal))
    for (const route of routes) {
      const hops = route.map(({ peer, from, to }) => `${peerName(names, peer)}[${from}:${to}]`)
      context.out.note(`layers at ${hops.join(' -> ')}`)
    }
    context.out.note(countersText(outcome))
    return outcome
  }
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, base, context.signal)
  const trainHere = await loadFunction('peer', 'trainAdapterHere')
  return (await trainHere(context.home, request, progress.sink, context.signal)) as TrainOutcome
}

function linesOf(result: TrainResult): string[] {
  const { metrics, examples, parameters, epochs, steps, stopped, best_epoch: best } = result
  const names = Object.keys(metrics.train)
  const parts = (['train', 'validation', 'test'] as const).filter((part) => metrics[part] !== undefined)
  const rows = parts.map((part) => [
    part,
    String(examples[part]),
    ...names.map((name) => shownNumber(metrics[part]?.[name as keyof TrainResult['metrics']['train']])),
  ])
  const end = stopped ? `, stopped early, epoch ${best} kept` : ''
  return [
    `${plural(parameters, 'parameter')}, ${plural(epochs, 'epoch')}, ${plural(steps, 'step')}${end}`,
    ...table([{ head: 'PART' }, { head: 'EXAMPLES' }, ...names.map((name) => ({ head: name.toUpperCase() }))], rows),
  ]
}

function shownNumber(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(4)
}
