/**
 * What it costs to bring a model in, on files that the bench makes up and removes: a GGUF file of 1 GB as blobs and a
 * manifest, by `weft import`, which measures its range too, and packed for this machine's kernels, each against copying
 * and hashing (SHA-256) the file as it is, in turns within one run; and what the header alone of a 70B model tells. Each
 * is a process of its own, watched with all that it starts. Linux: memory and processor time are read from /proc.
 *
 *   node bench/import.ts [--rounds 3] [--layers 16] [--threads N] [--json]
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { importAnyInChild, languageModel, outlineInChild, stageFiles } from '../src/models/index.ts'
import { createOrtEngine } from '../src/onnx/index.ts'
import { createBlobStore } from '../src/store/index.ts'
import { systemClock } from '../src/util/index.ts'
import { TINY } from '../test/integration/support.ts'
import { LLAMA_1B, LLAMA_70B, writeMadeUp } from './support/made-up-model.ts'
import { watchMemory } from './support/memory-watch.ts'
import type { PeakMemory } from './support/memory-watch.ts'

const SELF = fileURLToPath(import.meta.url)
const WEFT = fileURLToPath(new URL('../bin/weft', import.meta.url))
const MIB = 2 ** 20
const COPY_BYTES = 1 << 20
/** Of the system's clock ticks (proc(5)). */
const TICKS = 100
const clock = systemClock()

const WORK = {
  copy: 'copy and hash, as it is',
  import: 'import: blobs and manifest',
  cli: '`weft import`, whole: its start, the import, the range',
  pack: 'import, then packed and pre-packed',
  outline: 'header of 70B alone: blocks and costs',
} as const
type Work = keyof typeof WORK

/** The targets: of the speed of `copy`, and memory. */
const TARGETS: Readonly<Partial<Record<Work, number>>> = { import: 0.6, cli: 0.6, pack: 0.25 }

interface Run extends PeakMemory {
  readonly ms: number
  /** Milliseconds of processor time of all its processes, but for the start of the first. */
  readonly cpu: number
}

/** Copies as plainly as it can be done, a buffer at a time, without a sync at the end. */
async function copyAndHash(source: string, target: string): Promise<void> {
  const [from, to] = [await open(source), await open(target, 'w')]
  const hash = createHash('sha256')
  const buffer = new Uint8Array(COPY_BYTES)
  for (let at = 0; ;) {
    const { bytesRead } = await from.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    const piece = buffer.subarray(0, bytesRead)
    hash.update(piece)
    await to.write(piece, 0, bytesRead, at)
    at += bytesRead
  }
  hash.digest()
  await from.close()
  await to.close()
}

async function bringIn(directory: string, source: string, threads: number): Promise<void> {
  const [storeDirectory, codeCache, cache] = ['store', '../code', 'cache'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  const store = await createBlobStore({ directory: storeDirectory })
  const needs = { store, storeDirectory, codeCache, clock, directory, downloads: join(directory, 'downloads') }
  const manifest = languageModel(await importAnyInChild(needs, { source, name: 'made-up' }))
  if (threads === 0) return
  const files = stageFiles({ store, directory: cache, engine: createOrtEngine() }, manifest)
  const blocks = [...manifest.blocks.keys()]
  await files.pack(blocks, storeDirectory, threads)
  await files.decoder(1, blocks.length - 1, 1)
  await files.head()
}

/** What a process of its own does: its command line says it. */
async function work(kind: Work, directory: string, source: string, threads: number): Promise<void> {
  const [started, spent] = [clock.now(), await processorTime()]
  if (kind === 'copy') await copyAndHash(source, join(directory, 'copy'))
  else if (kind === 'outline')
    await outlineInChild({ clock, codeCache: join(directory, '../code') }, { outline: source, weights: 'auto' })
  else await bringIn(directory, source, kind === 'pack' ? threads : 0)
  const ms = clock.now() - started
  process.stdout.write(JSON.stringify({ ms, cpu: (await processorTime()) - spent }))
}

/** Fields of proc(5): time of this process, in user and kernel mode, and of those that it has waited for. */
const [OWN, WAITED] = [
  [11, 12],
  [13, 14],
] as const

/** Milliseconds, of this process and those that it has waited for. */
async function processorTime(of: readonly number[] = [...OWN, ...WAITED]): Promise<number> {
  const stat = await readFile('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return of.reduce((sum, field) => sum + Number(fields[field]), 0) * (1000 / TICKS)
}

async function measure(kind: Work, root: string, source: string, threads: number): Promise<Run> {
  const directory = await mkdtemp(join(root, `${kind}-`))
  try {
    if (kind === 'cli') return await byCommand(directory, source)
    const args = ['--disable-warning=ExperimentalWarning', SELF, '--work', kind, directory, source, String(threads)]
    // As `bin/weft` has it: what Node has compiled is kept.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(root, 'compiled') }
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
    const peak = watchMemory(child.pid!)
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    const code = await new Promise((resolve) => child.once('close', resolve))
    if (code !== 0) throw new Error(`${kind} ended with ${String(code)}`)
    return { ...(JSON.parse(text) as Pick<Run, 'ms' | 'cpu'>), ...peak() }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** In a home of its own, but for what Node has compiled; no process of the bench is counted. */
async function byCommand(directory: string, source: string): Promise<Run> {
  const compiled = join(directory, '../compiled')
  const env = { ...process.env, WEFT_HOME: directory, XDG_CACHE_HOME: compiled, NODE_COMPILE_CACHE: compiled }
  const args = [WEFT, 'import', source, '--name', 'made-up', '--quiet', '--local']
  const [started, spent] = [clock.now(), await processorTime(WAITED)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'], env })
  const peak = watchMemory(child.pid!)
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`weft import ended with ${String(code)}`)
  return { ms: clock.now() - started, cpu: (await processorTime(WAITED)) - spent, ...peak() }
}

function median(runs: readonly Run[]): Run {
  return runs.toSorted((one, other) => one.ms - other.ms)[Math.floor(runs.length / 2)]!
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      layers: { type: 'string', default: String(LLAMA_1B.layers) },
      threads: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'boolean', default: false },
      work: { type: 'string' },
    },
  })
  if (values.work !== undefined) {
    const [directory, source, threads] = positionals as [string, string, string]
    return work(values.work as Work, directory, source, Number(threads))
  }
  const threads = Number(values.threads)
  const root = await mkdtemp(join(tmpdir(), 'weft-bench-import-'))
  try {
    const small = join(root, 'small.gguf')
    const large = join(root, 'large.gguf')
    // A mixture as quantisers make it: what matters most in 8 bits.
    const type = (name: string): 'Q4_0' | 'Q8_0' => (name === 'ffn_gate' || name === 'ffn_up' ? 'Q4_0' : 'Q8_0')
    const bytes = await writeMadeUp(small, { ...LLAMA_1B, layers: Number(values.layers), type })
    await writeMadeUp(large, { ...LLAMA_70B, type: () => 'Q4_0' }, true)
    // Compiles the programs of the children, so that every run below finds them compiled.
    await measure('outline', root, large, threads)
    await measure('cli', root, TINY, threads)
    await measure('pack', root, TINY, threads)
    const runs: Record<Work, Run[]> = { copy: [], import: [], cli: [], pack: [], outline: [] }
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const kind of Object.keys(WORK) as Work[]) {
        runs[kind].push(await measure(kind, root, kind === 'outline' ? large : small, threads))
      }
    }
    report(runs, bytes, threads, values.json)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

function report(runs: Readonly<Record<Work, readonly Run[]>>, bytes: number, threads: number, json: boolean): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  if (json) return out(JSON.stringify({ schema: 'weft.bench-import/1', bytes, threads, load: loadavg()[0], runs }))
  const [cpu, load] = [cpus()[0]?.model ?? 'unknown', loadavg()[0]!.toFixed(1)]
  out(`${cpu}, ${availableParallelism()} cores, node ${process.version}, load average ${load}`)
  out('')
  out(
    `A GGUF file of ${(bytes / MIB).toFixed(0)} MiB (Q4_0 and Q8_0), ${threads} threads pack; medians of ${runs.copy.length}`,
  )
  out('')
  out('| | ms | MiB/s | of the speed of copying | target | processor time, ms | memory, MiB | with mapped files |')
  out('|---|---|---|---|---|---|---|---|')
  const base = median(runs.copy)
  for (const [kind, label] of Object.entries(WORK) as [Work, string][]) {
    const { ms, cpu: spent, own, resident } = median(runs[kind])
    const isFile = kind !== 'outline'
    const target = TARGETS[kind] ?? (isFile ? '' : '2,000 ms')
    const rate = isFile ? (bytes / MIB / (ms / 1000)).toFixed(0) : ''
    const ratio = isFile ? (base.ms / ms).toFixed(2) : ''
    const memory = [own, resident].map((size) => (size / MIB).toFixed(0)).join(' | ')
    out(`| ${label} | ${ms.toFixed(0)} | ${rate} | ${ratio} | ${target} | ${spent.toFixed(0)} | ${memory} |`)
  }
}

await main()
