/** weft plan MODEL: the placement that weft would choose, over the mesh or over a fleet file. */
import { readFile, stat } from 'node:fs/promises'
import type { Objective, PlanDocument, PlanInput } from '../../placement/index.ts'
import type { PlanRequest } from '../../peer/index.ts'
import { EXIT } from '../../errors.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { ensureModel } from '../ensure-model.ts'
import { FileUnreadableError, UsageError } from '../errors.ts'
import { runningLines } from '../living-view.ts'
import type { PeerAccess } from '../peer-access.ts'
import { planLines } from '../plan-view.ts'
import { printable } from '../text.ts'
import { namesOf } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, out } = context
  const model = flags.required(0)
  const fleet = flags.text('fleet')
  const signal = deadlineSignal(context, `planning ${model}`)
  if (flags.flag('running')) return showRunning(context, model, signal)
  const plan =
    fleet === undefined
      ? await (await openWith(context, model, signal)).plan(model, requestOf(context), signal)
      : await planFleet(context, model, fleet, signal)
  if (out.structured) out.document(plan)
  else out.lines(planLines(plan))
  return plan.verdict === 'no-fit' ? EXIT.noResources : EXIT.ok
}

/** The placement that stands, and whether it is about to move. @throws UsageError */
async function showRunning(context: CommandContext, model: string, signal: AbortSignal): Promise<number> {
  const { flags, out } = context
  if (flags.text('fleet') !== undefined || flags.texts('what-if').length > 0)
    throw new UsageError('--running and --fleet or --what-if exclude each other')
  const status = await (await openFor(context, 'never')).status(signal)
  const placement = status.placements?.find((entry) => entry.model === model || entry.digest === model)
  if (out.structured) out.document({ schema: 'weft.running/1', model, placement: placement ?? null })
  else if (placement === undefined)
    out.line(`${printable(model)} has no placement: the next request or weft deploy makes one`)
  else out.lines(runningLines(placement, namesOf(status)))
  return EXIT.ok
}

/** What the catalogue offers and nobody holds yet is fetched, as for `weft run`: its blocks are not known before. */
async function openWith(context: CommandContext, model: string, signal: AbortSignal): Promise<PeerAccess> {
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, model, signal)
  return access
}

function requestOf({ flags }: CommandContext): PlanRequest {
  const [context, concurrency, prompt] = [
    flags.number('context'),
    flags.number('concurrency'),
    flags.number('prompt-tokens'),
  ]
  return {
    objective: (flags.text('objective') ?? 'latency') as Objective,
    ...(context === undefined ? {} : { context }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(prompt === undefined ? {} : { prompt }),
    whatIf: flags.texts('what-if'),
    explain: flags.flag('explain'),
  }
}

const CONTEXT = 2_048

/** @throws FileUnreadableError, FleetFileError, FleetPeerError, FleetLinkError */
async function planFleet(
  context: CommandContext,
  model: string,
  path: string,
  signal: AbortSignal,
): Promise<PlanDocument> {
  const { MAX_FLEET_BYTES, parseFleet, planDocument, FleetFileError } = await import('../../placement/index.ts')
  let text: string
  try {
    const { size } = await stat(path)
    if (size > MAX_FLEET_BYTES) throw new FleetFileError(path, `it has ${size} bytes, more than any fleet`)
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw error instanceof FleetFileError ? error : new FileUnreadableError(path, error)
  }
  const { peers, links, origin } = parseFleet(text, path)
  const { graphAsked, planBlocks } = await import('../../peer/index.ts')
  const manifest = await (await openWith(context, model, signal)).manifest(model, signal)
  const { whatIf = [], explain = false, objective = 'latency', ...wishes } = requestOf(context)
  const fleetInput = { peers, links, origin, objective }
  if (!('shape' in manifest)) {
    const input = { ...fleetInput, ...graphAsked(manifest, { objective, ...wishes }) }
    return planDocument({ model, input, whatIf, explain })
  }
  const input: PlanInput = {
    ...fleetInput,
    blocks: planBlocks(manifest),
    context: Math.min(wishes.context ?? CONTEXT, manifest.shape.context),
    concurrency: wishes.concurrency ?? 1,
    ...(wishes.prompt === undefined ? {} : { prompt: wishes.prompt }),
  }
  return planDocument({ model, input, whatIf, explain })
}
