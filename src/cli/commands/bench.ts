/** weft bench [MODEL]: prefill and decode, measured; both sides in one run, the ratio beside them. */
import { cpus } from 'node:os'
import type { GenerateRequest, GenerateStats } from '../../pipeline/index.ts'
import { GREEDY } from '../../pipeline/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { NotHereError, PeerSilentError } from '../errors.ts'
import { formatMs, median } from '../format.ts'
import type { PeerAccess } from '../peer-access.ts'
import { namedPlacement } from '../named-placement.ts'
import { placementOption } from '../placement-file.ts'
import { printable, table } from '../text.ts'
import { waiting } from '../waiting.ts'

const [TOKENS, PROMPT_TOKENS, REPEAT] = [64, 128, 3]
/** Any text will do: the work depends on the number of tokens only. */
const SENTENCE = 'The loom holds the threads apart so that the shuttle may carry the weft between them. '

interface Side {
  readonly label: string
  readonly prefill_tokens_per_s: number
  readonly decode_tokens_per_s: number
  readonly ms_per_token_p50: number
  readonly time_to_first_token_ms: number
  readonly hop_ms_p50: number
  readonly stages: number
}

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const access = await openFor(context, 'never')
  const model = flags.argument(0) ?? (await someModel(context, access))
  await ensureModel(context, access, model, signal)
  const given = await placementOption(flags.text('placement'), model)
  const placement = await namedPlacement(access, given, signal)
  const base: GenerateRequest = {
    model,
    input: { kind: 'ids', ids: await promptIds(access, model, flags.number('prompt-tokens') ?? PROMPT_TOKENS, signal) },
    sampling: GREEDY,
    maxTokens: flags.number('tokens') ?? TOKENS,
    ignoreEnd: true,
    ...(placement === undefined ? {} : { placement }),
  }
  const sides = [{ label: 'mesh', request: base }]
  if (flags.text('against') === 'single') {
    sides.push({ label: 'single', request: { ...base, placement: 'local' as const } })
  }
  const results = await measure(context, access, sides)
  const [first, second] = results
  const ratio =
    first === undefined || second === undefined ? null : first.decode_tokens_per_s / second.decode_tokens_per_s
  const machine = `${printable(cpus()[0]?.model ?? 'unknown CPU')}, ${cpus().length} cores, node ${process.versions.node}`
  if (out.structured) out.document({ schema: 'weft.bench/1', model, machine, sides: results, decode_ratio: ratio })
  else
    out.lines([
      ...sideTable(results),
      '',
      ...(ratio === null ? [] : [`decode, mesh to single: ${ratio.toFixed(3)}`]),
      `machine: ${machine}`,
    ])
}

async function someModel({ signal }: CommandContext, access: PeerAccess): Promise<string> {
  const models = await access.models(signal)
  const found = models.find((entry) => entry.covered > 0) ?? models.find((entry) => entry.local)
  if (found === undefined) throw new NotHereError('model', 'to measure', 'name one: weft bench MODEL')
  return found.model
}

async function promptIds(access: PeerAccess, model: string, count: number, signal: AbortSignal): Promise<number[]> {
  const text = SENTENCE.repeat(Math.ceil((count * 2) / SENTENCE.split(' ').length) + 1)
  const { ids } = await access.tokenize(model, { kind: 'text', text }, signal)
  return Array.from({ length: count }, (_, index) => ids[index % ids.length] ?? 0)
}

/** Sides take turns in every round, so that a machine that warms up or is shared treats them alike. */
async function measure(
  { flags, io, out, signal }: CommandContext,
  access: PeerAccess,
  sides: readonly { readonly label: string; readonly request: GenerateRequest }[],
): Promise<Side[]> {
  const rounds = flags.number('repeat') ?? REPEAT
  const runs = sides.map((): { stats: GenerateStats; stages: number }[] => [])
  // The first round loads what must be loaded, and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (const [index, side] of sides.entries()) {
      const wait = waiting(
        io,
        out,
        round === 0 ? `${side.label} to warm up` : `round ${round} of ${rounds}, ${side.label}`,
      )
      const run = await once(access, side.request, signal)
      wait.end()
      if (round > 0) runs[index]?.push(run)
    }
  }
  return sides.map(({ label }, index) => summary(label, runs[index] ?? []))
}

async function once(
  access: PeerAccess,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<{ stats: GenerateStats; stages: number }> {
  let stages = 0
  for await (const event of access.generate(request, signal)) {
    if (event.type === 'start') stages = event.route.length
    if (event.type === 'end') return { stats: event.stats, stages }
  }
  throw new PeerSilentError('with a whole answer', 'it ended early')
}

function summary(label: string, runs: readonly { readonly stats: GenerateStats; readonly stages: number }[]): Side {
  const of = (value: (stats: GenerateStats) => number): number => median(runs.map((run) => value(run.stats)))
  return {
    label,
    prefill_tokens_per_s: of((stats) => (stats.prefill_tokens / stats.prefill_ms) * 1000),
    decode_tokens_per_s: of((stats) => stats.tokens_per_second),
    ms_per_token_p50: of((stats) => stats.ms_per_token_p50),
    time_to_first_token_ms: of((stats) => stats.time_to_first_token_ms),
    hop_ms_p50: of((stats) => stats.hop_ms_p50),
    stages: runs[0]?.stages ?? 0,
  }
}

function sideTable(sides: readonly Side[]): string[] {
  const heads = ['SIDE', 'STAGES', 'PREFILL tok/s', 'DECODE tok/s', 'TOKEN p50', 'FIRST TOKEN', 'HOP p50']
  return table(
    heads.map((head, index) => ({ head, right: index > 0 })),
    sides.map((side) => [
      side.label,
      String(side.stages),
      side.prefill_tokens_per_s.toFixed(1),
      side.decode_tokens_per_s.toFixed(1),
      formatMs(side.ms_per_token_p50),
      formatMs(side.time_to_first_token_ms),
      formatMs(side.hop_ms_p50),
    ]),
  )
}
