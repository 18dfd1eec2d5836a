/** What the weight formats of a model cost, as lines. */
import type { ModelQuality } from '../models/index.ts'
import type { ModelInfo } from '../peer/index.ts'
import { formatBytes } from './format.ts'
import { table } from './text.ts'

type Report = NonNullable<ModelInfo['quality']>

const PERCENT = 100

/** For stderr, after an import. */
export function reportLines(report: Report): string[] {
  const { memory, memory_float32, formats } = report
  const timed = formats.some(({ speed }) => speed !== null)
  const rows = formats.map(({ weights, layers, memory: all, error, speed }) => [
    weights,
    String(layers),
    error === null ? '-' : percent(error),
    formatBytes(all),
    ...(timed ? [ms(speed?.alone_ms), ms(speed?.batched_ms)] : []),
  ])
  const columns = ['WEIGHTS', 'LAYERS', 'ERROR', 'ALL SO', ...(timed ? ['MS A ROW ALONE', 'OF 64'] : [])]
  const shared = percent(memory / memory_float32)
  return [
    ...table(
      columns.map((head, index) => ({ head, ...(index > 0 ? { right: true } : {}) })),
      rows,
    ),
    `memory ${formatBytes(memory)}, ${shared} of float32's ${formatBytes(memory_float32)}`,
    qualityLine(report),
    ...(timed ? ['milliseconds are of one layer on this machine, in this run; nothing was decided by them'] : []),
  ]
}

export function warningLine({ asked, passed }: Report): string | undefined {
  if (passed) return undefined
  return `the weights cost more than 0.01 nats a token, or 1 % of perplexity: --weights auto chooses for each layer${asked === 'auto' ? '' : `, in place of ${asked}`}`
}

/** `perplexity 54.6 -> 55.4 (+1.5 %, chance 0.6), divergence 0.0060 nats, on 384 tokens of weft-page-1` */
export function qualityLine(quality: Omit<ModelQuality, 'errors'>): string {
  const { perplexity, perplexity_float32, divergence, chance, held_out_tokens, calibration } = quality
  const rise = (perplexity / perplexity_float32 - 1) * PERCENT
  const sign = rise < 0 ? '' : '+'
  return (
    `perplexity ${perplexity_float32} in float32, ${perplexity} so (${sign}${rise.toFixed(2)} %, ` +
    `give or take ${(chance * PERCENT).toFixed(2)}), divergence ${divergence} nats, on ${held_out_tokens} tokens of ` +
    calibration.slice(0, 'sha256:'.length + 12)
  )
}

function percent(share: number): string {
  return `${(share * PERCENT).toPrecision(3)} %`
}

function ms(value: number | undefined): string {
  return value === undefined ? '-' : value.toPrecision(3)
}
