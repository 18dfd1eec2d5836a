/** weft deploy MODEL [--placement FILE]: places a model and loads its stages. */
import { openFor } from '../context.ts'
import type { PlacementFile } from '../../pipeline/index.ts'
import type { Command } from '../context.ts'
import type { PeerAccess } from '../peer-access.ts'
import { deadlineSignal } from '../deadline.ts'
import { namedPlacement } from '../named-placement.ts'
import { readPlacement } from '../placement-file.ts'
import { createProgress } from '../progress.ts'
import { printable } from '../text.ts'
import { namesOf, placementText } from '../views.ts'
import { waiting } from '../waiting.ts'

export const command: Command = async (context) => {
  const { flags, io, out } = context
  const model = flags.required(0)
  const path = flags.text('placement')
  const objective = flags.text('objective') as 'latency' | 'memory' | 'spread' | undefined
  const given = path === undefined || path === 'auto' ? objective : await readPlacement(path, model)
  const signal = deadlineSignal(context, `deploying ${model}`)
  const access = await openFor(context, 'never')
  const named = await namedPlacement(access, given, signal)
  const isPinned = flags.flag('pin') && typeof named !== 'object'
  const placement = isPinned ? await chosenNow(access, model, named, signal) : named
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const wait = waiting(io, out, `the stages of ${model}`, flags.number('timeout'))
  context.defer(() => wait.end())
  const result = await access.deploy(
    model,
    placement,
    (line) => {
      wait.end()
      if (out.jsonl) out.document(line)
      else progress.sink(line)
    },
    signal,
  )
  progress.end()
  wait.end()
  if (out.structured) {
    out.document({ ...result, schema: 'weft.placement/1' })
    return
  }
  const names = namesOf(await access.status(signal))
  out.line(`${printable(model)}  ${placementText(result.stages, names)}  (${result.kind}, epoch ${result.epoch})`)
}

/** What weft would choose, as a placement by hand: without spares. @throws NoPlacementError when nothing fits */
async function chosenNow(
  access: PeerAccess,
  model: string,
  objective: 'latency' | 'memory' | 'spread' | undefined,
  signal: AbortSignal,
): Promise<PlacementFile | undefined> {
  const { verdict, stages } = await access.plan(model, objective === undefined ? {} : { objective }, signal)
  // Deploying refuses with what is missing.
  return verdict === 'no-fit' ? undefined : { model, stages }
}
