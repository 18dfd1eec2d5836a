/**
 * Eight people at once against one, over two stages on this machine: tokens a second of all together, and the time to the first
 * token of one who comes while the others are answered. In turns, round after round; medians count.
 * `node bench/users.ts [MODEL.gguf] [--users 8] [--rounds 5] [--tokens 48] [--prompt 32] [--weights int8]`
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/util/index.ts'
import { answer, createLab, greedy, joined, placement, TINY } from '../test/integration/support.ts'
import { freshPrompt } from './support/fresh-prompt.ts'
import { median } from './support/median.ts'

const clock = systemClock()

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      users: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '48' },
      prompt: { type: 'string', default: '32' },
      weights: { type: 'string', default: 'int8' },
    },
  })
  const [users, rounds, tokens, rows] = [values.users, values.rounds, values.tokens, values.prompt].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  const lab = await createLab()
  try {
    const peers = [await lab.start('a'), await lab.start('b')] as const
    const [a, b] = peers
    await joined(peers)
    const source = positionals[0] ?? TINY
    const imported = { source, name: 'bench', weights: values.weights as 'int8' }
    const { blocks } = await a.access.importModel(imported, () => undefined)
    const where = placement('bench', [
      [a, 0, blocks >> 1],
      [b, blocks >> 1, blocks],
    ])
    const one = async (most: number): Promise<number> => {
      const input = { kind: 'ids', ids: freshPrompt(rows) } as const
      const { end, error } = await answer(
        a,
        greedy('bench', most, { input, placement: where, speculate: 'off', deadline: 600_000 }),
      )
      if (end === undefined) throw error
      return end.stats.time_to_first_token_ms
    }
    /** Tokens a second of so many at once, prompts in it. */
    const rate = async (together: number): Promise<number> => {
      const began = clock.now()
      await Promise.all(Array.from({ length: together }, () => one(tokens)))
      return (together * tokens * 1_000) / (clock.now() - began)
    }
    /** Milliseconds until a newcomer has its first token, among so many that are answered. */
    const newcomer = async (others: number): Promise<number> => {
      const company = Array.from({ length: others }, () => one(4 * tokens))
      await clock.sleep(300)
      const first = await one(2)
      await Promise.all(company)
      return first
    }
    for (const warm of [1, users]) await rate(warm)
    const seen = { alone: [] as number[], together: [] as number[], first: [] as number[], among: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      seen.alone.push(await rate(1))
      seen.together.push(await rate(users))
      seen.first.push(await newcomer(0))
      seen.among.push(await newcomer(users - 1))
    }
    const [alone, together, first, among] = [seen.alone, seen.together, seen.first, seen.among].map(median) as [
      number,
      number,
      number,
      number,
    ]
    process.stdout.write(
      `${cpus()[0]!.model} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}; two stages, one thread each, ${values.weights}, medians of ${rounds}\n\n` +
        `| users | tokens/s of one | of ${users} | ratio | first token alone, ms | of a newcomer among ${users - 1}, ms | ratio |\n| --- | --- | --- | --- | --- | --- | --- |\n` +
        `| ${users} | ${alone.toFixed(1)} | ${together.toFixed(1)} | ${(together / alone).toFixed(2)} | ${first.toFixed(0)} | ${among.toFixed(0)} | ${(among / first).toFixed(2)} |\n`,
    )
  } finally {
    await lab.stop()
  }
}

await main()
