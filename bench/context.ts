/**
 * What a long context costs a token: decoding behind 2,048 rows against 128, by one weft process and by llama.cpp on the same file,
 * each against itself, in turns within one run; medians of the rounds. `llama-bench` is taken from the PATH; without it weft is
 * measured alone.
 *
 *   node bench/context.ts [MODEL.gguf] [--rounds 5] [--tokens 24] [--contexts 128,2048] [--threads 1] [--weights auto] [--json]
 */
import { cpus, loadavg } from 'node:os'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { languageModel } from '../src/models/index.ts'
import { createLab, TINY } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { answerStats } from './support/answer-stats.ts'
import { hasLlamaBench, LLAMA_BENCH, runLlamaBench } from './support/llama-bench.ts'
import { median } from './support/median.ts'

/** Milliseconds a token behind so many rows. */
async function weftMs({ access }: RealPeer, rows: number, tokens: number): Promise<number> {
  const stats = await answerStats(access, { placement: 'local', rows, tokens: tokens + 1 })
  return 1000 / stats.tokens_per_second
}

/** NaN where it does not run. */
function llamaMs(file: string, rows: number, tokens: number, threads: number): number {
  const speed = runLlamaBench(['-m', file, '-t', threads, '-p', 0, '-n', tokens, '-d', rows])
  return speed === null ? NaN : 1000 / speed.decode
}

interface Row {
  readonly context: number
  readonly weft: number
  readonly llama: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '24' },
      contexts: { type: 'string', default: '128,2048' },
      threads: { type: 'string', default: '1' },
      weights: { type: 'string', default: 'auto' },
    },
  })
  const source = positionals[0] ?? TINY
  const [rounds, tokens, threads] = [values.rounds, values.tokens, values.threads].map(Number) as [
    number,
    number,
    number,
  ]
  const beside = hasLlamaBench()
  const lab = await createLab()
  try {
    const peer = await lab.start('a', ['--threads', values.threads])
    await peer.access.importModel({ source, name: 'bench', weights: values.weights as 'auto' }, () => undefined)
    const { context } = languageModel(await peer.access.manifest('bench')).shape
    const contexts = values.contexts.split(',').map((rows) => Math.min(Number(rows), context - tokens - 1))
    await weftMs(peer, 16, 4)
    const runs = contexts.map(() => ({ weft: [] as number[], llama: [] as number[] }))
    for (let round = 0; round < rounds; round++)
      for (const [index, rows] of contexts.entries()) {
        runs[index]!.weft.push(await weftMs(peer, rows, tokens))
        if (beside) runs[index]!.llama.push(llamaMs(source, rows, tokens, threads))
      }
    const rows = contexts.map((each, index): Row => {
      const { weft, llama } = runs[index]!
      return { context: each, weft: median(weft), llama: median(llama) }
    })
    report(rows, basename(source), values)
  } finally {
    await lab.stop()
  }
  if (!beside) process.stderr.write(`${LLAMA_BENCH} is not on the PATH or does not run: weft is measured alone.\n`)
}

function report(
  rows: readonly Row[],
  model: string,
  { rounds, threads, json }: { readonly rounds: string; readonly threads: string; readonly json: boolean },
): void {
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  const [first, last] = [rows[0]!, rows.at(-1)!]
  const [ours, theirs] = [last.weft / first.weft, last.llama / first.llama]
  const out = (line: string): void => void process.stdout.write(`${line}\n`)
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.context/1', machine, model, unit: 'ms', results: rows, ours, theirs }))
    return
  }
  out(`${model}, ${threads} threads, medians of ${rounds}. ${machine}`)
  out('')
  out('| context | weft, ms a token | llama.cpp, ms a token |')
  out('| --- | --- | --- |')
  for (const { context, weft, llama } of rows) out(`| ${context} | ${weft.toFixed(1)} | ${llama.toFixed(1)} |`)
  out('')
  out(
    `the longest of the shortest: ${ours.toFixed(2)}, llama.cpp ${theirs.toFixed(2)}; of its ratio ${(ours / theirs).toFixed(2)}`,
  )
}

await main()
