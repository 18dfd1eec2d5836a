/**
 * Faults by a schedule that comes from a seed, on real peers in network namespaces: kill -9, all processes stopped, a cut cable,
 * a stage host stopped or killed, a farewell; one or two at once, the same stage twice, in the middle of a hand-over; while prompts are
 * computed and while tokens come; under several answers at once that share prefixes, runs and guesses. Every text is held against the
 * one of one process.
 *
 *   node bench/faults.ts [MODEL.gguf] [--seed 1] [--peers 4] [--rounds 10] [--origin-memory 6MB]
 *
 * `--peers` counts those beside the origin. Needs root and Linux. Ends with status 1 when a text differed, was torn or did not end,
 * or when nothing was replaced.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { counter, joined, TINY, until } from '../test/integration/support.ts'
import { differentCases } from './faults/asked.ts'
import { LINK } from './faults/kinds.ts'
import { Round } from './faults/round.ts'
import type { Scene } from './faults/round.ts'
import { drawn } from './faults/schedule.ts'
import { createField, MODEL, seconds, settled, wholeAnswers } from './promises/field.ts'
import { Report } from './promises/report.ts'
import { listed, newTally } from './support/cases.ts'
import { seeded } from './support/random.ts'

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: '1' },
      peers: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '10' },
      'origin-memory': { type: 'string' },
    },
  })
  const random = seeded(Number(values.seed))
  const names = Array.from({ length: Number(values.peers) }, (_, index) => String.fromCharCode(98 + index))
  const field = await createField(names.length + 1, LINK)
  const report = new Report()
  try {
    const memory = values['origin-memory']
    const a = await field.start('a', 1, memory === undefined ? [] : ['--memory', memory])
    const started = names.map(async (name, index) => [name, await field.start(name, index + 2)] as const)
    const peers = new Map(await Promise.all(started))
    await joined([a, ...peers.values()])
    await a.access.importModel({ source: positionals[0] ?? TINY, name: MODEL }, () => undefined)
    const [first] = peers.values()
    await until('the model is known', async () =>
      (await first!.access.status()).peers.some(({ models }) => models.includes(MODEL)),
    )
    const scene = { field, a, peers, names, cases: await differentCases(first!, random), tally: newTally(), random }
    for (let round = 1; round <= Number(values.rounds); round++) await one(scene, round)
    const { tally } = scene
    report.inject(`seed ${values.seed}, ${values.rounds} rounds with ${names.length} peers: ${listed(tally.faults)}`)
    wholeAnswers(report, tally)
    // Of one that was replaced before its answer had begun nobody is told, and the origin counts it.
    const replaced = await counter(a, 'failovers')
    report.measure(
      `${replaced} stages replaced, ${tally.failovers} of them in mid-answer, ${tally.replayed} rows fed again`,
    )
    report.hold('the way of a failover was taken', replaced > 0)
    await settled(report, [a, ...peers.values()], new Map())
  } finally {
    await field.stop()
  }
  const lines = [
    ...report.injected.map((line) => `injected: ${line}`),
    ...report.measured.map((line) => `measured: ${line}`),
    ...report.broken.map((line) => `NOT SO: ${line}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (report.broken.length > 0) process.exitCode = 1
}

async function one(scene: Scene, number: number): Promise<void> {
  const { tally, random, names } = scene
  const { pauses, ends, different, torn } = { ...tally, pauses: tally.pauses.length, ends: tally.ends.length }
  const round = new Round(scene, drawn(random, names.length))
  const answers = await round.run()
  const isWrong = tally.ends.length > ends || tally.different > different || tally.torn > torn
  const longest = seconds(Math.max(0, ...tally.pauses.slice(pauses)))
  const replaced = answers.map(({ reroutes }) => reroutes.length).join(' ')
  process.stdout.write(
    `${isWrong ? 'WRONG ' : ''}${number} (load ${loadavg()[0]!.toFixed(0)}) ${String(round)}; ` +
      `rerouted ${replaced} times, the longest silence ${longest} s\n`,
  )
  for (const end of tally.ends.slice(ends)) process.stdout.write(`  ${end}\n`)
}

await main()
