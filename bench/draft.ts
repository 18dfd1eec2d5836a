/**
 * Tokens a second without guesses, with those out of the text, with a draft model at the origin beside them, and with that alone,
 * over links of some length: hosts in network namespaces (root and Linux only), the origin with embedding, head and draft, two others
 * with the layers. Each prompt is answered in all ways in turns, greedily; the texts must be the same.
 *
 * There is no pair of a large and a small model here, so one is made of one file: the model has layers that add nothing besides its
 * own (it computes as a larger one, and says what the file does), the draft lacks some of them (it is wrong as a smaller one is).
 * `node bench/draft.ts [MODEL.gguf] [--rtt 10,50] [--rate 100] [--rounds 5] [--tokens 64] [--prompts 2] [--idle 60] [--drop 18-22]`
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { GenerateRequest } from '../src/pipeline/index.ts'
import { netlabFor } from '../test/integration/netlab.ts'
import { answer, createLab, greedy, TINY } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { layersOf, withLayers } from '../test/models/support/gguf-layers.ts'
import { PROMPTS } from './support/prompts.ts'
import type { BenchPrompt } from './support/prompts.ts'
import { median } from './support/median.ts'
import { overThree } from './support/three-stages.ts'

const WAYS = {
  off: { speculate: 'off' },
  lookup: { draft: 'off' },
  draft: { draft: 'draft' },
  alone: { draft: 'draft', speculate: 'draft' },
} as const satisfies Record<string, Partial<GenerateRequest>>
type Way = keyof typeof WAYS
const ALL = ['off', 'lookup', 'draft', 'alone'] as const satisfies readonly Way[]

interface Run {
  readonly rate: number
  readonly guessed: number
  readonly right: number
  readonly text: string
}

interface Pair {
  readonly model: string
  readonly draft: string
}

interface Wishes {
  readonly rate: string
  readonly rounds: number
  readonly tokens: number
  readonly prompts: readonly BenchPrompt[]
}

const { why, netlab, on } = netlabFor('draft')

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

async function run(origin: RealPeer, prompt: BenchPrompt, way: Way, tokens: number): Promise<Run> {
  const input = { kind: 'chat', messages: [{ role: 'user', content: prompt.text }] } as const
  const { end, error } = await answer(
    origin,
    greedy('bench', tokens, { input, ignoreEnd: false, deadline: 600_000, ...WAYS[way] }),
  )
  if (end === undefined) throw error
  const { counters, tokens_per_second: rate } = end.stats
  const of = way === 'lookup' ? 'draft' : 'draft_model'
  return { rate, guessed: counters[`${of}_tokens`] ?? 0, right: counters[`${of}_accepted`] ?? 0, text: end.text }
}

async function measure({ model, draft }: Pair, rtt: number, wishes: Wishes): Promise<void> {
  const { prompts, rate, rounds, tokens } = wishes
  if (rtt > 0) netlab('up', '3', '--rtt', String(rtt), '--rate', rate)
  const lab = await createLab()
  try {
    const start = (name: string, host: number): Promise<RealPeer> => lab.start(name, [], rtt > 0 ? on(host) : [])
    const peers = await Promise.all([start('a', 1), start('b', 2), start('c', 3)])
    const [a] = peers
    await overThree(peers, model)
    await a.access.importModel({ source: draft, name: 'draft', measure: 'never' }, () => undefined)
    for (const way of ['off', 'draft'] as const) await run(a, PROMPTS[0]!, way, 8)
    const name = rtt > 0 ? `RTT ${rtt} ms, ${rate} Mbit` : 'loopback'
    for (const kind of new Set(prompts.map((prompt) => prompt.kind))) {
      const runs: Record<Way, Run[][]> = { off: [], lookup: [], draft: [], alone: [] }
      for (const prompt of prompts.filter((each) => each.kind === kind)) {
        const own: Record<Way, Run[]> = { off: [], lookup: [], draft: [], alone: [] }
        for (let round = 0; round < rounds; round++)
          for (const way of ALL) own[way].push(await run(a, prompt, way, tokens))
        if (new Set(Object.values(own).flatMap((all) => all.map(({ text }) => text))).size !== 1)
          throw new Error('texts differ')
        for (const way of ALL) runs[way].push(own[way])
      }
      row(name, kind, runs)
    }
  } finally {
    await lab.stop()
    if (rtt > 0) netlab('down')
  }
}

function row(name: string, kind: string, runs: Record<Way, Run[][]>): void {
  const rates = (way: Way): number[] => runs[way].map((own) => median(own.map(({ rate }) => rate)))
  const ratio = (way: Way): string => mean(rates(way).map((rate, at) => rate / rates('off')[at]!)).toFixed(2)
  const all = runs.alone.flat()
  const [guessed, right] = [mean(all.map((one) => one.guessed)), mean(all.map((one) => one.right))]
  const share = guessed === 0 ? '-' : `${((right / guessed) * 100).toFixed(0)} %`
  const [off, lookup, draft, alone] = ALL.map((way) => mean(rates(way)).toFixed(1))
  process.stdout.write(
    `| ${name} | ${kind} | ${off} | ${lookup} (${ratio('lookup')}) | ${draft} (${ratio('draft')}) | ${alone} (${ratio('alone')}) | ${guessed.toFixed(0)} | ${share} |\n`,
  )
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rtt: { type: 'string', default: '10,50' },
      rate: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '64' },
      prompts: { type: 'string', default: '2' },
      idle: { type: 'string', default: '60' },
      drop: { type: 'string', default: '18-22' },
    },
  })
  const [source = TINY] = positionals
  const links = values.rtt.split(',').map(Number)
  if (links.some((rtt) => rtt > 0) && why !== undefined) throw new Error(`links cannot be made longer here: ${why}`)
  const [from = 0, to = 0] = values.drop.split('-').map(Number)
  const [most, tokens, rounds] = [Number(values.prompts), Number(values.tokens), Number(values.rounds)]
  const kinds = [...new Set(PROMPTS.map(({ kind }) => kind))]
  const prompts = kinds.flatMap((kind) => PROMPTS.filter((prompt) => prompt.kind === kind).slice(0, most))
  const folder = await mkdtemp(join(tmpdir(), 'weft-draft-'))
  try {
    const own = Array.from({ length: await layersOf(source) }, (_, layer) => layer)
    const pair = { model: join(folder, 'model.gguf'), draft: join(folder, 'draft.gguf') }
    await withLayers(source, pair.model, [...own, ...Array.from({ length: Number(values.idle) }, () => null)])
    const kept = own.filter((layer) => layer < from || layer >= to)
    await withLayers(source, pair.draft, kept)
    process.stdout.write(
      `${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}; ${own.length} layers and ${values.idle} idle ` +
        `ones over two servers, a draft of ${kept.length}; greedy, ${tokens} tokens at most, median of ${rounds}\n\n` +
        '| links | prompts | tokens/s without | out of the text | draft model beside | alone | its guesses an answer, alone | right |\n' +
        '| --- | --- | --- | --- | --- | --- | --- | --- |\n',
    )
    for (const rtt of links) await measure(pair, rtt, { rate: values.rate, rounds, tokens, prompts })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

await main()
