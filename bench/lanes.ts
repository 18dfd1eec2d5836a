/**
 * What a person waits for a token while work of the batch lane runs in the same stages, against alone and against the same work
 * in the lane of people. Three processes on this machine: the origin with embedding and head, and two with the layers.
 * `node bench/lanes.ts [MODEL.gguf] [--rounds 5] [--tokens 64] [--company 4]`
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { Lane } from '../src/pipeline/index.ts'
import { answer, counter, createLab, greedy, TINY } from '../test/integration/support.ts'
import { overThree } from './support/three-stages.ts'
import type { RealPeer } from '../test/integration/support.ts'

const SCENES = ['alone', 'batch', 'interactive'] as const
type Scene = (typeof SCENES)[number]

interface Seen {
  readonly gaps: number[]
  readonly first: number[]
  /** Tokens a second of the company. */
  readonly company: number[]
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function prompt(seed: number): number[] {
  return Array.from({ length: 64 }, (_, at) => 300 + ((seed * 7919 + at * 37) % 1500))
}

/** Answers one after another until the signal fires. @returns tokens */
async function keepAsking(peer: RealPeer, lane: Lane, seed: number, signal: AbortSignal): Promise<number> {
  let tokens = 0
  for (let turn = 0; !signal.aborted; turn++) {
    const input = { kind: 'ids', ids: prompt(seed * 1000 + turn) } as const
    const request = greedy('bench', 128, { input, lane, speculate: 'off', deadline: 600_000 })
    await answer(peer, request, () => tokens++, signal)
  }
  return tokens
}

async function person(peer: RealPeer, tokens: number, seed: number, seen: Seen): Promise<void> {
  const started = performance.now()
  let last: number | undefined
  const request = greedy('bench', tokens, { input: { kind: 'ids', ids: prompt(seed) }, speculate: 'off' })
  const { error } = await answer(peer, request, () => {
    const now = performance.now()
    if (last === undefined) seen.first.push(now - started)
    else seen.gaps.push(now - last)
    last = now
  })
  if (error !== undefined) throw error
}

async function play(
  peer: RealPeer,
  scene: Scene,
  company: number,
  work: () => Promise<void>,
  seen: Seen,
): Promise<void> {
  if (scene === 'alone') return work()
  const stop = new AbortController()
  const started = performance.now()
  const others = Array.from({ length: company }, (_, index) => keepAsking(peer, scene, 50 + index, stop.signal))
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  await work()
  const seconds = (performance.now() - started) / 1000
  stop.abort(new Error('the round is over'))
  const tokens = await Promise.all(others)
  seen.company.push(tokens.reduce((sum, each) => sum + each, 0) / seconds)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '64' },
      company: { type: 'string', default: '4' },
    },
  })
  const [source = TINY] = positionals
  const lab = await createLab()
  try {
    const peers = await Promise.all([lab.start('a'), lab.start('b'), lab.start('c')])
    const [a] = peers
    const manifest = await overThree(peers, source)
    const seen = new Map<Scene, Seen>(SCENES.map((scene) => [scene, { gaps: [], first: [], company: [] }]))
    for (let round = 0; round <= Number(values.rounds); round++)
      for (const scene of SCENES) {
        // The first round loads graphs for more sessions at once.
        const into = round === 0 ? { gaps: [], first: [], company: [] } : seen.get(scene)!
        const work = (): Promise<void> => person(a, Number(values.tokens), 10_000 + round, into)
        await play(a, scene, Number(values.company), work, into)
      }
    const alone = quantile(seen.get('alone')!.gaps, 0.95)
    const lines = SCENES.map((scene) => {
      const { gaps, first, company } = seen.get(scene)!
      const p95 = quantile(gaps, 0.95)
      const others = company.length === 0 ? '-' : quantile(company, 0.5).toFixed(1)
      return `| ${scene} | ${quantile(gaps, 0.5).toFixed(1)} | ${p95.toFixed(1)} | ${(p95 / alone).toFixed(2)} | ${quantile(first, 0.5).toFixed(0)} | ${others} |`
    })
    const yielded = await Promise.all(peers.map((peer) => counter(peer, 'yielded_rows')))
    process.stdout.write(
      `${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}; ${manifest.model} over three processes, company of ${values.company}; rows that yielded: ${yielded.join(', ')}\n\n` +
        '| company in the lane | token, median ms | token, p95 ms | of alone | first token, ms | tokens/s of the company |\n| --- | --- | --- | --- | --- | --- |\n' +
        `${lines.join('\n')}\n`,
    )
  } finally {
    await lab.stop()
  }
}

await main()
