/**
 * Tokens a second with guesses and without, over links of some length: hosts in network namespaces (root and Linux only), the
 * origin with embedding and head, two others with the layers. Each prompt is answered both ways in turns, greedily; the
 * texts must be the same. The median of each prompt's rounds counts.
 * `node bench/speculate.ts [MODEL.gguf] [--rtt 10,50] [--rate 100] [--rounds 5] [--tokens 96]`; an RTT of 0: loopback, no root
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { netlabFor } from '../test/integration/netlab.ts'
import { answer, createLab, greedy, TINY } from '../test/integration/support.ts'
import { overThree } from './support/three-stages.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { median } from './support/median.ts'
import { PROMPTS } from './support/prompts.ts'
import type { BenchPrompt } from './support/prompts.ts'

const MODES = ['off', 'auto'] as const
type Mode = (typeof MODES)[number]

interface Run {
  readonly rate: number
  readonly drafted: number
  readonly accepted: number
  readonly text: string
}

const { why, netlab, on } = netlabFor('spec')

async function run(origin: RealPeer, prompt: BenchPrompt, mode: Mode, tokens: number): Promise<Run> {
  const input = { kind: 'chat', messages: [{ role: 'user', content: prompt.text }] } as const
  const { end, error } = await answer(
    origin,
    greedy('bench', tokens, { input, speculate: mode, ignoreEnd: false, deadline: 300_000 }),
  )
  if (end === undefined) throw error
  const { counters, tokens_per_second: rate } = end.stats
  const [drafted = 0, accepted = 0] = [counters['draft_tokens'], counters['draft_accepted']]
  return { rate, drafted, accepted, text: end.text }
}

async function measure(source: string, rtt: number, rate: string, rounds: number, tokens: number): Promise<void> {
  if (rtt > 0) netlab('up', '3', '--rtt', String(rtt), '--rate', rate)
  const lab = await createLab()
  try {
    const start = (name: string, host: number): Promise<RealPeer> => lab.start(name, [], rtt > 0 ? on(host) : [])
    const peers = await Promise.all([start('a', 1), start('b', 2), start('c', 3)])
    const [a] = peers
    await overThree(peers, source)
    await run(a, PROMPTS[0]!, 'off', 8)
    const classes = new Map<string, { ratio: number; plain: number; drafted: number; accepted: number }[]>()
    for (const prompt of PROMPTS) {
      const runs: Record<Mode, Run[]> = { off: [], auto: [] }
      for (let round = 0; round < rounds; round++)
        for (const mode of MODES) runs[mode].push(await run(a, prompt, mode, tokens))
      if (new Set([...runs.off, ...runs.auto].map(({ text }) => text)).size !== 1) throw new Error('texts differ')
      const plain = median(runs.off.map((each) => each.rate))
      const sum = (of: (each: Run) => number): number => runs.auto.reduce((total, each) => total + of(each), 0)
      const drafted = sum((each) => each.drafted) / rounds
      const accepted = sum((each) => each.accepted) / rounds
      const ratio = median(runs.auto.map((each) => each.rate)) / plain
      classes.set(prompt.kind, [...(classes.get(prompt.kind) ?? []), { ratio, plain, drafted, accepted }])
    }
    const name = rtt > 0 ? `RTT ${rtt} ms, ${rate} Mbit` : 'loopback'
    for (const [kind, all] of classes) {
      const mean = (of: (each: (typeof all)[number]) => number): number =>
        all.reduce((total, each) => total + of(each), 0) / all.length
      const [plain, drafted, accepted] = [mean((x) => x.plain), mean((x) => x.drafted), mean((x) => x.accepted)]
      const share = drafted === 0 ? '-' : `${((accepted / drafted) * 100).toFixed(0)} %`
      const ratios = all.map((each) => each.ratio.toFixed(2)).join(', ')
      process.stdout.write(
        `| ${name} | ${kind} | ${plain.toFixed(1)} | ${mean((x) => x.ratio).toFixed(2)} | ${ratios} | ` +
          `${drafted.toFixed(0)} | ${share} |\n`,
      )
    }
    const everything = [...classes.values()].flat().map((each) => each.ratio)
    const all = everything.reduce((total, ratio) => total + ratio, 0) / everything.length
    process.stdout.write(`| ${name} | all | | ${all.toFixed(2)} | lowest ${Math.min(...everything).toFixed(2)} | | |\n`)
  } finally {
    await lab.stop()
    if (rtt > 0) netlab('down')
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rtt: { type: 'string', default: '10,50' },
      rate: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '96' },
    },
  })
  const [source = TINY] = positionals
  const links = values.rtt.split(',').map(Number)
  if (links.some((rtt) => rtt > 0) && why !== undefined) throw new Error(`links cannot be made longer here: ${why}`)
  process.stdout.write(
    `${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}; the origin and two servers, greedy, ` +
      `${values.tokens} tokens at most, median of ${values.rounds}\n\n` +
      '| links | prompts | tokens/s without | ratio with | of each prompt | guesses an answer | right |\n' +
      '| --- | --- | --- | --- | --- | --- | --- |\n',
  )
  for (const rtt of links) await measure(source, rtt, values.rate, Number(values.rounds), Number(values.tokens))
}

await main()
