/** weft infer MODEL --in X.npz --out Y.npz: any model on named arrays. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { InferFilesRequest, InferredFiles } from '../../peer/index.ts'
import type { Inference, InferenceStats, PlacementFile, Tensors } from '../../pipeline/index.ts'
import { balanceLine, bestLine } from '../balance-view.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { PeerNotRunningError, UsageError } from '../errors.ts'
import { formatMs, plural, shortId } from '../format.ts'
import { namedPlacement } from '../named-placement.ts'
import { placementOption, placementTexts } from '../placement-file.ts'
import { createProgress } from '../progress.ts'
import { loadFunction } from '../rooms.ts'
import { printable, table } from '../text.ts'

/** Of a running peer it comes over the socket, as its code. */
const UNKNOWN_MODEL = 'WEFT-MOD-050'
const USAGE = 'usage: weft infer MODEL --in X.npz --out Y.npz'

export const command: Command = async (context) => {
  const { flags } = context
  const [source, target] = [flags.text('in'), flags.text('out')]
  if (source === undefined || target === undefined) throw new UsageError('weft infer needs --in and --out', USAGE)
  const model = flags.required(0)
  const placement = await placementOption(placementTexts(flags)[0], model)
  const request: Asked = {
    model,
    in: resolve(source),
    out: resolve(target),
    carries: flags.texts('carry').map(pairOf),
    parts: flags.number('parts'),
    memory: flags.number('memory'),
    optimization: flags.text('optimization') as Asked['optimization'],
    wire: flags.text('wire') as Asked['wire'],
    frames: flags.number('frames'),
    microBatch: flags.number('micro-batch'),
  }
  const signal = deadlineSignal(context, 'the inference')
  const threads = flags.number('threads')
  const isPlain = placement === undefined && threads === undefined && request.parts === undefined
  const isAsked = isAlias(model) || (isPlain && (await isDeployed(context, model, signal)))
  const overMesh = isAsked || (!isPlain && placement !== undefined && placement !== 'local')
  if (overMesh && threads !== undefined) {
    throw new UsageError('--threads is for processes here: each peer gives its own (weft up --threads)')
  }
  print(
    context,
    await (overMesh ? inferAtPeers(context, request, placement, signal) : inferHere(context, request, signal)),
  )
}

/** A round of a federation, whichever serves: the running peer knows which. A file may have an `@` in its name, behind a path or before an ending. */
function isAlias(model: string): boolean {
  return /^[a-z0-9][a-z0-9._-]*@[a-z0-9][a-z0-9_-]*$/.test(model)
}

/** Peers know models by their names: where none is known by it, but there is a file, that is brought in first. */
async function orFile(model: string, error: unknown): Promise<unknown> {
  const isUnknown = (error as { code?: unknown } | null)?.code === UNKNOWN_MODEL
  if (!isUnknown || (await stat(model).catch(() => null))?.isFile() !== true) return error
  const hint = `weft import ${model} --name NAME, then weft infer NAME; or leave --placement out, and it runs here`
  return new UsageError(`${model} is a file, and peers take a model by its name`, hint)
}

/** A model of this name that the running peer knows to be deployed. */
async function isDeployed(context: CommandContext, model: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { models } = await (await openFor(context, 'never')).status(signal)
    return models.some((known) => known.model === model && known.covered > 0)
  } catch (error) {
    if (error instanceof PeerNotRunningError) return false
    throw error
  }
}

/** Options that were left out are undefined, and are not sent. */
type Asked = { -readonly [Key in keyof InferFilesRequest]: InferFilesRequest[Key] | undefined } & {
  readonly model: string
  readonly in: string
  readonly out: string
}

async function inferAtPeers(
  context: CommandContext,
  request: Asked,
  placement: 'auto' | 'local' | PlacementFile | undefined,
  signal: AbortSignal,
): Promise<InferredFiles> {
  const access = await openFor(context, 'never')
  const timeout = context.flags.number('timeout')
  const named = await namedPlacement(access, placement, signal)
  const stages = typeof named === 'object' ? named.stages : named === 'auto' ? named : undefined
  const deadline = timeout === undefined ? {} : { deadline: timeout }
  try {
    return await access.inferFiles({ ...request, stages, ...deadline }, signal)
  } catch (error) {
    throw await orFile(request.model, error)
  }
}

async function inferHere(context: CommandContext, request: Asked, signal: AbortSignal): Promise<InferredFiles> {
  const { flags, home, io, out } = context
  const [readNpz, writeNpz] = [await loadFunction('data', 'readNpz'), await loadFunction('data', 'writeNpz')]
  const inputs = (await readNpz(request.in, signal)) as Tensors
  const inferModel = await loadFunction('peer', 'inferModel')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const init = { ...request, home, inputs, threads: flags.number('threads') }
  const { outputs, route, stats } = (await inferModel(init, progress.sink, signal)) as Inference
  progress.end()
  signal.throwIfAborted()
  await writeNpz(request.out, outputs)
  const arrays = [...outputs].map(([name, { type, dims }]) => ({ name, type, shape: dims }))
  return { schema: 'weft.inference/1', model: request.model, outputs: arrays, route, stats }
}

/** `OUT=IN`: names may hold any character but the first `=` of an output's. */
function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  if (at <= 0 || at === text.length - 1) {
    throw new UsageError(
      `--carry takes OUT=IN, not "${text}"`,
      'an output, and the input that takes it in the next frame',
    )
  }
  return [text.slice(0, at), text.slice(at + 1)]
}

function print({ flags, out }: CommandContext, inferred: InferredFiles): void {
  const { outputs, route, stats } = inferred
  if (out.structured) out.document(inferred)
  else {
    const rows = outputs.map(({ name, type, shape }) => [printable(name), type, `[${shape.join(', ')}]`])
    out.lines(table([{ head: 'OUTPUT' }, { head: 'TYPE' }, { head: 'SHAPE' }], rows))
  }
  if (stats.verdict !== null) out.note(`${printable(stats.verdict)}: ${printable(stats.why ?? '')}`)
  if (stats.batch_equal === false && stats.kind === 'micro-batches') {
    out.note('micro-batches of this size do not give the bits that the whole batch gives')
  }
  if (stats.wire === 'f16') out.note('values between parts were rounded to float16: the outputs are not exact')
  if (flags.flag('stats')) for (const line of statsLines(stats, route)) out.note(line)
}

function statsLines(stats: InferenceStats, route: Inference['route']): string[] {
  const { parts, threads, optimization, units, kind, whole_because: whole, load_ms: load, run_ms: run } = stats
  const where = (peer: string | undefined): string => (peer === undefined ? '' : `${shortId(peer)} `)
  const chain = route.map(({ peer, pid, from, to }) => `${where(peer)}process ${pid}[${from}:${to}]`).join(' -> ')
  const cut = kind === 'whole' ? `whole${whole === null ? '' : ` (${printable(whole)})`}` : `${units} ${kind}`
  return [
    `${plural(parts, 'part')}, ${threads === 0 ? 'threads as each peer gives' : `${plural(threads, 'thread')} each`}, optimization ${optimization}; ${cut}`,
    `loaded in ${formatMs(load)}, run in ${formatMs(run)}`,
    chain,
    ...(stats.best === null ? [] : [bestLine(stats.best)]),
    ...(stats.balance === null ? [] : [balanceLine(stats.balance)]),
    Object.entries(stats.counters)
      .map(([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(1)}`)
      .join(', '),
  ]
}
