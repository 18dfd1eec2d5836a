/** A step as a waterfall: each part of it where it began, as long as it took. */
import type { RequestTrace, TraceEntry } from '../peer/index.ts'
import { formatMs, plural } from './format.ts'
import { pad, printable, table, width } from './text.ts'
import { peerName } from './views.ts'

/** Columns of the bars; the other columns of a line leave so much of 80. */
const BAR_COLUMNS = 28
const NAME_COLUMNS = 24
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

interface Part {
  readonly name: string
  /** Null: nobody has told. */
  readonly ms: number | null
}

type Times = Pick<RequestTrace['steps'][number], 'origin_ms' | 'back_ms' | 'total_ms'> & {
  readonly hops: RequestTrace['steps'][number]['hops']
}

export function traceLines(
  trace: RequestTrace,
  names: ReadonlyMap<string, string>,
  step: number | undefined,
): string[] {
  const { decode, prefill } = trace
  const head = [
    `request ${printable(trace.request)}  ${printable(trace.model)}  ${trace.at}`,
    `${plural(trace.prompt_tokens, 'token')} of prompt, ${plural(trace.tokens, 'token')} of answer, ${plural(trace.hops.length, 'stage')}${trace.attempts > 1 ? `, ${trace.attempts} attempts` : ''}`,
    `prompt: ${plural(prefill.rows, 'row')} in ${plural(prefill.steps, 'piece')}, ${formatMs(prefill.total_ms)} to the first token`,
    '',
  ]
  if (step !== undefined) {
    const found = trace.steps[step]!
    const title = `step ${step} (${found.phase}, rows ${found.position} to ${found.position + found.rows - 1})`
    return [...head, ...waterfall(title, trace, names, found)]
  }
  if (decode === null) return [...head, 'no step of decoding was told of by all stages']
  const mean = { ...decode, total_ms: decode.step_ms }
  return [
    ...head,
    ...waterfall(`mean of ${plural(decode.steps, 'step')}`, trace, names, mean),
    '',
    `idle for this answer: ${trace.hops.map(({ peer }, place) => `${peerName(names, peer)} ${percent(decode.bubbles[place] ?? 0)}`).join(', ')}`,
    ...flightLines(trace, decode.in_flight),
    ...(trace.dropped > 0 ? [`${plural(trace.dropped, 'step')} in the middle not kept`] : []),
  ]
}

/** Of windows of guesses. */
function flightLines(
  { void: none }: RequestTrace,
  { mean, most }: { readonly mean: number; readonly most: number },
): string[] {
  if (most <= 1 && (none?.steps ?? 0) === 0) return []
  return [`in flight at once: ${mean.toFixed(1)} steps, ${most} at most${wastedNote(none)}`]
}

function wastedNote(none: RequestTrace['void']): string {
  if (none === null) return '; what came to nothing is not known'
  return none.steps > 0 ? `; ${plural(none.rows, 'row')} in ${plural(none.steps, 'window')} came to nothing` : ''
}

function waterfall(title: string, trace: RequestTrace, names: ReadonlyMap<string, string>, times: Times): string[] {
  const parts = partsOf(trace, names, times)
  const total = times.total_ms
  const sum = parts.reduce((all, { ms }) => all + (ms ?? 0), 0)
  let at = 0
  const lines = parts.map(({ name, ms }) => {
    const bar = ms === null || total <= 0 ? '' : barOf(at / total, ms / total)
    at += ms ?? 0
    const share = ms === null || total <= 0 ? '-' : percent(ms / total)
    return `${pad(name, NAME_COLUMNS)}  ${pad(formatMs(ms), 9, true)}  ${pad(share, 5, true)}  ${bar}`.trimEnd()
  })
  const heads = `${pad('PART', NAME_COLUMNS)}  ${pad('TIME', 9, true)}  ${pad('SHARE', 5, true)}`
  const explained = total > 0 ? `, ${percent(sum / total)} of it told` : ''
  return [heads, ...lines, `${title}: ${formatMs(total)}${explained}${clockNote(trace)}`]
}

function partsOf(trace: RequestTrace, names: ReadonlyMap<string, string>, { origin_ms, hops, back_ms }: Times): Part[] {
  const parts: Part[] = [{ name: 'origin', ms: origin_ms }]
  for (const [place, { peer, from, to }] of trace.hops.entries()) {
    const times = hops[place] ?? null
    const stage = short(`${peerName(names, peer)} [${from}:${to}]`)
    parts.push(
      { name: '  wire', ms: times?.wire_ms ?? null },
      { name: '  queue', ms: times?.queue_ms ?? null },
      { name: stage, ms: times?.compute_ms ?? null },
      { name: '  serialize', ms: times?.serialize_ms ?? null },
    )
  }
  return [...parts, { name: '  wire back', ms: back_ms }]
}

function short(name: string): string {
  return width(name) <= NAME_COLUMNS ? name : `${name.slice(0, NAME_COLUMNS - 1)}…`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`
}

/** @param from @param share of the whole, 0 to 1 */
function barOf(from: number, share: number): string {
  const start = Math.min(BAR_COLUMNS - 1, Math.floor(from * BAR_COLUMNS))
  const eighths = Math.max(1, Math.round(share * BAR_COLUMNS * 8))
  const full = Math.min(BAR_COLUMNS - start, Math.floor(eighths / 8))
  return ' '.repeat(start) + '█'.repeat(full) + (full + start < BAR_COLUMNS ? EIGHTHS[eighths % 8] : '')
}

/** The clocks of peers are set against each other by one question. */
function clockNote({ hops }: RequestTrace): string {
  const worst = Math.max(0, ...hops.map(({ clock_ms: clock }) => clock ?? 0))
  return worst === 0 ? '' : `; single ways are right to ${formatMs(worst)}`
}

export function tracesTable(traces: readonly TraceEntry[]): string[] {
  return table(
    [
      { head: 'REQUEST' },
      { head: 'MODEL' },
      { head: 'PROMPT', right: true },
      { head: 'TOKENS', right: true },
      { head: 'FIRST', right: true },
      { head: 'STEP', right: true },
      { head: 'BEGAN' },
    ],
    traces.map(({ request, model, prompt_tokens: prompt, tokens, prefill, decode, at }) => [
      printable(request),
      printable(model),
      String(prompt),
      String(tokens),
      formatMs(prefill.total_ms),
      formatMs(decode?.step_ms ?? null),
      at,
    ]),
  )
}
