/**
 * What the stage host of a part of a model holds in memory beside its weights: real peers in processes of their own, the layers
 * in so many parts, read from /proc when it is loaded, in an answer of one session and in sixteen at once.
 * `node bench/stage-memory.ts [--parts N] [MODEL.gguf ...]`; without a model the embedded one. Linux.
 */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import type { ModelManifest } from '../src/models/index.ts'
import { answer, createLab, greedy, hostOf, joined, placement, TINY } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'

const MIB = 2 ** 20
const TOKENS = 200
const SESSIONS = 16

interface Part {
  readonly peer: RealPeer
  readonly from: number
  readonly to: number
}

/** Resident and anonymous, MiB: the difference are pages of files, which processes share. */
async function memory(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const field = (name: string): string =>
    mib(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? NaN) * 1024)
  return `${field('Rss')} / ${field('Anonymous')}`
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(1)

/** Layers [1, end) in so many parts, as equal as can be. */
function cut(end: number, parts: number): readonly (readonly [from: number, to: number])[] {
  const at = (part: number): number => 1 + Math.round(((end - 1) * part) / parts)
  return Array.from({ length: parts }, (_, part) => [at(part), at(part + 1)])
}

async function bench(source: string, count: number): Promise<void> {
  const lab = await createLab()
  try {
    const [origin, ...holders] = await Promise.all(
      Array.from({ length: count + 1 }, (_, index) => lab.start(`p${index}`)),
    )
    await joined([origin!, ...holders])
    await origin!.access.importModel({ source, name: 'bench' }, () => undefined)
    const manifest = (await origin!.access.manifest('bench')) as ModelManifest
    const end = manifest.blocks.length - 1
    const parts: Part[] = cut(end, count).map(([from, to], index) => ({ peer: holders[index]!, from, to }))
    const stages: readonly (readonly [RealPeer, number, number])[] = [
      [origin!, 0, 1],
      ...parts.map(({ peer, from, to }) => [peer, from, to] as const),
      [origin!, end, end + 1],
    ]
    await origin!.access.deploy('bench', placement('bench', stages), () => undefined)
    const pids = await Promise.all(parts.map(({ peer }) => hostOf(origin!, peer)))
    const look = (): Promise<string[]> => Promise.all(pids.map(memory))
    const idle = await look()
    const seen: Promise<string[]>[] = []
    await answer(origin!, greedy('bench', TOKENS), (tokens) => {
      if (tokens === TOKENS - 20) seen.push(look())
    })
    const [one = []] = await Promise.all(seen)
    const ask = (index: number): ReturnType<typeof answer> =>
      answer(origin!, greedy('bench', TOKENS, { input: { kind: 'ids', ids: [300 + index, 7] }, deadline: 600_000 }))
    await Promise.all(Array.from({ length: SESSIONS }, (_, index) => ask(index)))
    const many = await look()
    const whole = manifest.blocks.reduce((sum, block) => sum + block.memory, 0)
    process.stdout.write(`${basename(source)}: ${mib(whole)} MiB of weights as kernels hold them\n\n`)
    process.stdout.write(
      `| blocks | weights, MiB | KV of ${TOKENS} positions, MiB | resident / anonymous: loaded | one session | after ${SESSIONS} |\n|---|---|---|---|---|---|\n`,
    )
    for (const [index, { from, to }] of parts.entries()) {
      const own = manifest.blocks.slice(from, to)
      const weights = mib(own.reduce((sum, block) => sum + block.memory, 0))
      const kv = mib(TOKENS * own.reduce((sum, block) => sum + block.kv_bytes, 0))
      process.stdout.write(
        `| [${from}, ${to}) | ${weights} | ${kv} | ${idle[index]} | ${one[index] ?? '-'} | ${many[index]} |\n`,
      )
    }
    process.stdout.write('\n')
  } finally {
    await lab.stop()
  }
}

const { values, positionals } = parseArgs({ options: { parts: { type: 'string' } }, allowPositionals: true })
for (const source of positionals.length > 0 ? positionals : [TINY]) await bench(source, Number(values.parts ?? 3))
