/**
 * What splitting costs: one weft process against the same model over two and three, one thread in each stage, real
 * processes and sockets on this machine, in one run. `node bench/split.ts [MODEL.gguf] [tokens]`.
 *
 * Of a prompt over several stages also how near it comes to what the work allows: stages that never wait take as long as the
 * one with most of the layers, and no less than the work of all divided by the cores. A first chunk on its way to the last stage
 * is not counted as work, so that the limit is not reached.
 */
import { availableParallelism, cpus } from 'node:os'
import { createLab, joined, placement, TINY } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { languageModel } from '../src/models/index.ts'
import type { GenerateStats, PlacementFile } from '../src/pipeline/index.ts'
import { answerStats } from './support/answer-stats.ts'
import { median } from './support/median.ts'

const ROUNDS = 5
const PROMPT_ROWS = 512

interface Row {
  readonly name: string
  readonly tokensPerSecond: number
  readonly msPerToken: number
  readonly hopMs: number
  readonly prefill: number
  /** How many times as fast as one process it could be at best. */
  readonly limit: number
}

async function measure(
  peer: RealPeer,
  where: 'local' | PlacementFile,
  tokens: number,
  context: number,
): Promise<GenerateStats> {
  const rows = Math.min(PROMPT_ROWS, context - tokens - 1)
  // A short prompt for decoding, as llama-bench does; a long one for the chunks that overlap.
  const stats = await answerStats(peer.access, { placement: where, rows: 16, tokens })
  const { prefill_ms, prefill_tokens } = await answerStats(peer.access, { placement: where, rows, tokens: 1 })
  return { ...stats, prefill_ms, prefill_tokens }
}

function summary(name: string, runs: readonly GenerateStats[], limit: number): Row {
  return {
    name,
    limit,
    tokensPerSecond: median(runs.map((run) => run.tokens_per_second)),
    msPerToken: median(runs.map((run) => run.ms_per_token_p50)),
    hopMs: median(runs.map((run) => run.hop_ms_p50)),
    prefill: median(runs.map((run) => (run.prefill_tokens * 1000) / run.prefill_ms)),
  }
}

async function main([source = TINY, count = '48']: readonly string[]): Promise<void> {
  const lab = await createLab()
  try {
    const peers = [await lab.start('a'), await lab.start('b'), await lab.start('c')] as const
    await joined(peers)
    const info = await peers[0].access.importModel({ source, name: 'bench' }, () => undefined)
    const manifest = languageModel(await peers[0].access.manifest('bench'))
    const last = info.blocks
    const at = (share: number): number => Math.round(1 + (last - 2) * share)
    const [a, b, c] = peers
    const cases: readonly (readonly [string, 'local' | PlacementFile])[] = [
      ['one process', 'local'],
      [
        'two processes',
        placement('bench', [
          [a, 0, at(1 / 2)],
          [b, at(1 / 2), last],
        ]),
      ],
      [
        'three processes',
        placement('bench', [
          [a, 0, at(1 / 3)],
          [b, at(1 / 3), at(2 / 3)],
          [c, at(2 / 3), last],
        ]),
      ],
    ]
    for (const [, where] of cases) await measure(a, where, 4, manifest.shape.context)
    const runs = cases.map((): GenerateStats[] => [])
    // In turns, so that what else the machine does meets all of them alike.
    for (let round = 0; round < ROUNDS; round++)
      for (const [index, [, where]] of cases.entries())
        runs[index]!.push(await measure(a, where, Number(count), manifest.shape.context))
    const layers = last - 2
    const rows = cases.map(([name, where], index) => {
      const held = where === 'local' ? [layers] : where.stages.map(({ from, to }) => layersOf(from, to, last))
      return summary(name, runs[index]!, Math.min(layers / Math.max(...held), availableParallelism()))
    })
    print(rows, info.bytes)
  } finally {
    await lab.stop()
  }
}

/** Of blocks [from, to): the first is the embedding, the last the head. */
function layersOf(from: number, to: number, blocks: number): number {
  return Math.min(to, blocks - 1) - Math.max(from, 1)
}

function print(rows: readonly Row[], bytes: number): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  out(
    `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, node ${process.version}; model of ${(bytes / 2 ** 20).toFixed(1)} MiB, 1 thread a stage, medians of ${ROUNDS}`,
  )
  out('')
  out(
    '| | tokens/s | of one process | ms a token | beside computing, ms a hop | prefill tokens/s | of the work-bound limit |',
  )
  out('|---|---|---|---|---|---|---|')
  for (const row of rows) {
    const share = row.tokensPerSecond / rows[0]!.tokensPerSecond
    const bound = row.prefill / (rows[0]!.prefill * row.limit)
    out(
      `| ${row.name} | ${row.tokensPerSecond.toFixed(1)} | ${share.toFixed(2)} | ${row.msPerToken.toFixed(2)} | ${row.hopMs.toFixed(2)} | ${row.prefill.toFixed(0)} | ${bound.toFixed(2)} |`,
    )
  }
}

await main(process.argv.slice(2))
