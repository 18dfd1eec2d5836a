/**
 * Time to the first token of a prompt whose beginning the stages have computed before, against the first time: a system
 * prompt that is new in each round, then the same with another question behind it. Three processes on this machine: the origin
 * with embedding and head, and two with the layers.
 * `node bench/prefix.ts [MODEL.gguf] [--rounds 5] [--prompt 400] [--question 12]`
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { answer, createLab, greedy, TINY } from '../test/integration/support.ts'
import { median } from './support/median.ts'
import { overThree } from './support/three-stages.ts'

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      prompt: { type: 'string', default: '400' },
      question: { type: 'string', default: '12' },
    },
  })
  const [source = TINY] = positionals
  const lab = await createLab()
  try {
    const peers = await Promise.all([lab.start('a'), lab.start('b'), lab.start('c')])
    const [a] = peers
    const manifest = await overThree(peers, source)
    const text = (seed: number, length: number): number[] =>
      Array.from({ length }, (_, at) => 300 + ((seed * 7919 + at * (37 + seed)) % 1500))
    const ask = async (system: number, question: number): Promise<{ ms: number; hits: number }> => {
      const ids = [...text(system, Number(values.prompt)), ...text(question, Number(values.question))]
      const { end, error } = await answer(a, greedy('bench', 4, { input: { kind: 'ids', ids }, deadline: 120_000 }))
      if (end === undefined) throw error
      return { ms: end.stats.time_to_first_token_ms, hits: end.stats.counters['prefix_hits'] ?? 0 }
    }
    await ask(1, 2)
    const times = { first: [] as number[], again: [] as number[] }
    let rows = 0
    for (let round = 0; round < Number(values.rounds); round++) {
      times.first.push((await ask(10 + round, 500 + round)).ms)
      const again = await ask(10 + round, 900 + round)
      times.again.push(again.ms)
      rows = again.hits
    }
    const [first, again] = [median(times.first), median(times.again)]
    process.stdout.write(
      `${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}; ${manifest.model} over three processes\n\n` +
        '| system prompt | question | first time, ms | again, ms | ratio | rows found |\n| --- | --- | --- | --- | --- | --- |\n' +
        `| ${values.prompt} | ${values.question} | ${first.toFixed(0)} | ${again.toFixed(0)} | ${(again / first).toFixed(3)} | ${rows} |\n`,
    )
  } finally {
    await lab.stop()
  }
}

await main()
