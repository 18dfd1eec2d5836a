/**
 * What a stage host costs to start and to keep, the whole model in one: first start (weights are packed for the
 * machine), second start from its cache, and the same with plain weights, in one run. A second start is taken apart too:
 * until the host's program runs, until its files were held against their checksums, loaded, and until a token comes.
 * `node bench/load.ts [--made-up] [--rounds N] [--threads N] [MODEL.gguf ...]`; the embedded model always comes first.
 * `--made-up` adds a model of the shape of Llama 3.2 1B in Q4_0, made up by the bench. Linux: memory is read from /proc.
 */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkStageFiles, importModel } from '../src/models/index.ts'
import type { ModelManifest } from '../src/models/index.ts'
import { DTYPE, encodeControl, frame } from '../src/net/index.ts'
import { GREEDY } from '../src/pipeline/index.ts'
import { HOST, RUN } from '../src/pipeline/host/protocol.ts'
import type { LoadedControl, OpenControl } from '../src/pipeline/host/protocol.ts'
import { startStageHost } from '../src/pipeline/host/stage-host.ts'
import type { StageHost } from '../src/pipeline/host/stage-host.ts'
import { createBlobStore } from '../src/store/index.ts'
import { systemClock } from '../src/util/index.ts'
import { TINY } from '../test/integration/support.ts'
import { LLAMA_1B, writeMadeUp } from './support/made-up-model.ts'

/** Of a prompt, and the most that a session may reach. */
const ROWS = 32
const POSITIONS = 256
const MIB = 2 ** 20

interface Memory {
  readonly rss: number
  readonly anonymous: number
}

interface Start {
  readonly loaded: LoadedControl
  /** From spawning the process until it can serve. */
  readonly ready: number
  /** Of these: until the files were checked. */
  readonly checked: number
  /** From then on, until the token behind a prompt of one session. */
  readonly token: number
  readonly idle: Memory
  /** After a prompt of one session. */
  readonly one: Memory
  /** After 17 sessions at once, when all graph variants are loaded; null where that was not tried. */
  readonly many: Memory | null
  readonly peak: number
}

interface Home {
  readonly directory: string
  readonly manifest: ModelManifest
  readonly manifestPath: string
}

interface Options {
  readonly rounds: number
  readonly threads: number
}

async function start(home: Home, cache: string, threads: number, many: boolean): Promise<Start> {
  const clock = systemClock()
  const started = clock.now()
  const host = startStageHost({ clock, codeCache: join(home.directory, 'code') })
  try {
    // As a peer does before it loads (src/pipeline/stages.ts), while the host's program starts.
    const store = await createBlobStore({ directory: join(home.directory, 'store'), readOnly: true })
    const all = [[0, home.manifest.blocks.length]] as const
    await checkStageFiles({ store, directory: cache }, home.manifest, all)
    const checked = clock.now() - started
    const loaded = await host.load({
      manifestPath: home.manifestPath,
      storeDirectory: join(home.directory, 'store'),
      cacheDirectory: cache,
      ranges: all,
      threads,
      kvBytes: 2 ** 31,
    })
    const ready = clock.now() - started
    const idle = await memory(host.pid)
    const served = clock.now()
    await serve(host, home.manifest, 1)
    const token = clock.now() - served
    const one = await memory(host.pid)
    if (many) await serve(host, home.manifest, 17)
    const after = many ? await memory(host.pid) : null
    return { loaded, ready, checked, token, idle, one, many: after, peak: await peak(host.pid) }
  } finally {
    await host.stop()
  }
}

/** A prompt in each of so many sessions, all at once. */
async function serve(host: StageHost, manifest: ModelManifest, sessions: number): Promise<void> {
  const waiting = new Map<number, () => void>()
  host.onFrame((message) => message.type !== HOST.opened && waiting.get(message.request)?.())
  const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
  const control: OpenControl = { from: 0, to: manifest.blocks.length, positions: POSITIONS, sampler }
  const requests = Array.from({ length: sessions }, (_, index) => index + 1)
  for (const request of requests) await host.send(frame({ type: HOST.open, request, control: encodeControl(control) }))
  const answers = requests.map((request) => new Promise<void>((resolve) => waiting.set(request, resolve)))
  for (const request of requests) {
    const ids = Int32Array.from({ length: ROWS }, (_, row) => (300 + request + row * 37) % manifest.shape.vocabulary)
    const rows = { dtype: DTYPE.i32, dims: [ROWS], payload: new Uint8Array(ids.buffer) }
    await host.send(frame({ type: HOST.run, request, flags: RUN.token, ...rows }))
  }
  await Promise.all(answers)
  for (const request of requests) await host.send(frame({ type: HOST.close, request }))
}

/** As a stage whose kernels cannot be pre-packed for finds its cache. */
async function makePlain(cache: string, kernel: string): Promise<void> {
  for (const folder of await readdir(cache)) {
    for (const name of await readdir(join(cache, folder))) {
      if (!/^block-\d+\.json$/.test(name)) continue
      const path = join(cache, folder, name)
      const description = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
      await writeFile(path, JSON.stringify({ ...description, kernel: null, refused: kernel }))
    }
  }
}

async function memory(pid: number): Promise<Memory> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  return { rss: field(text, 'Rss'), anonymous: field(text, 'Anonymous') }
}

async function peak(pid: number): Promise<number> {
  return field(await readFile(`/proc/${pid}/status`, 'utf8'), 'VmHWM')
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? NaN) * 1024
}

async function sizeOf(directory: string): Promise<number> {
  let sum = 0
  for (const name of await readdir(directory, { recursive: true })) sum += (await stat(join(directory, name))).size
  return sum
}

async function bench(source: string, { rounds, threads }: Options, out: (text: string) => void): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'weft-bench-load-'))
  try {
    const store = await createBlobStore({ directory: join(directory, 'store') })
    const needs = { store, clock: systemClock(), directory, downloads: join(directory, 'downloads') }
    const manifest = await importModel(needs, { source, name: 'bench' })
    const manifestPath = join(directory, 'manifest.json')
    await writeFile(manifestPath, JSON.stringify(manifest))
    const home = { directory, manifest, manifestPath }
    const cache = join(directory, 'cache')
    // Compiles the program of the host, so that every start below finds it compiled.
    if (source === TINY) await start(home, join(directory, 'warm-up'), threads, false)
    const first = await start(home, cache, threads, true)
    const again = await repeat(rounds, () => start(home, cache, threads, false))
    const disk = await sizeOf(cache)
    await makePlain(cache, first.loaded.kernel)
    const plain = await repeat(rounds, () => start(home, cache, threads, false))
    const weights = manifest.blocks.reduce((sum, block) => sum + block.memory, 0)
    out(`**${basename(source)}**: ${mib(weights)} MiB of weights as kernels hold them; cache on disk ${mib(disk)} MiB`)
    out('')
    out(
      `| | ready, ms | of it checked | load | first token | packed | pre-packed | RSS / anonymous, MiB | one session | 17 sessions | peak |`,
    )
    out('|---|---|---|---|---|---|---|---|---|---|---|')
    for (const [name, run] of [
      ['first start', first],
      [`second start, median of ${rounds}`, again],
      ['the same, plain weights', plain],
    ] as const)
      out(`| ${name} | ${row(run)} |`)
    out('')
    const share = (100 * again.idle.anonymous) / weights
    out(`Second start: ${again.ready.toFixed(0)} ms, anonymous memory ${share.toFixed(0)} % of the weights`)
    out('')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** The run in the middle. */
async function repeat(rounds: number, run: () => Promise<Start>): Promise<Start> {
  const runs: Start[] = []
  for (let round = 0; round < rounds; round++) runs.push(await run())
  return runs.toSorted((x, y) => x.ready - y.ready)[Math.floor(rounds / 2)]!
}

function row({ loaded, ready, checked, token, idle, one, many, peak: most }: Start): string {
  const both = (seen: Memory | null): string => (seen === null ? '' : `${mib(seen.rss)} / ${mib(seen.anonymous)}`)
  const path = loaded.prepacked ? 'yes' : 'no'
  const times = [...[ready, checked, loaded.loadMs, token].map((ms) => ms.toFixed(0)), loaded.packed, path]
  return [...times, both(idle), both(one), both(many), mib(most)].join(' | ')
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(0)
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      'made-up': { type: 'boolean' },
      rounds: { type: 'string', default: '3' },
      threads: { type: 'string', default: '1' },
    },
  })
  const options = { rounds: Number(values.rounds), threads: Number(values.threads) }
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const load = loadavg()[0]!.toFixed(1)
  out(
    `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, node ${process.version}, load average ${load}`,
  )
  out('')
  for (const source of [TINY, ...positionals]) await bench(source, options, out)
  if (values['made-up'] !== true) return
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-model-'))
  try {
    const path = join(folder, 'made-up-1b-q4_0.gguf')
    await writeMadeUp(path, { ...LLAMA_1B, type: () => 'Q4_0' })
    await bench(path, options, out)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

await main()
