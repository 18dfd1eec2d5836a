/**
 * A model over two stages here and by llama.cpp's RPC, on the same links with the same threads, in turns within one run:
 * decoding and prefill, medians of the rounds. Two ways to lay it out: the origin without a layer and two servers;
 * the origin with half of them and one server. `llama-bench` and `rpc-server` (or `ggml-rpc-server`) are taken from the PATH;
 * without them weft is measured alone. An RTT of 0 is the loopback; longer ones are hosts in network namespaces (root, Linux).
 *
 *   node bench/rpc.ts [MODEL.gguf | 1b] [--llama FILE.gguf] [--weights auto] [--rtt 0,10,50] [--rate 100] [--rounds 5]
 *                     [--tokens 64] [--prompt 512] [--threads 1] [--json]
 *
 * `--llama`: another file of the same model for llama.cpp, where that is its quicker form. `1b`: a model of TinyLlama's shape with
 * random weights in Q4_0. `--prompt 64,512`: one prefill after the other.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { languageModel } from '../src/models/index.ts'
import type { PlacementFile } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'
import { netlabFor } from '../test/integration/netlab.ts'
import { createLab, joined, placement, TINY, until } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { answerSpeed, answerStats } from './support/answer-stats.ts'
import type { Speed } from './support/answer-stats.ts'
import { hasLlamaBench, LLAMA_BENCH, llamaSpeeds } from './support/llama-bench.ts'
import { TINY_LLAMA, writeMadeUp } from './support/made-up-model.ts'
import { medians } from './support/median.ts'

const SERVERS = ['rpc-server', 'ggml-rpc-server']
const PORT = 50_052
const SHORT_PROMPT = 16
const LAYOUTS = ['two servers', 'origin and a server'] as const
type Layout = (typeof LAYOUTS)[number]

interface Sizes {
  readonly rounds: number
  readonly tokens: number
  readonly prompt: number
  readonly threads: number
}

interface Row {
  readonly rtt_ms: number
  readonly layout: Layout | 'one process'
  readonly weft: Speed
  readonly llama: Speed | null
}

const { why, netlab, on } = netlabFor('rpc')

function note<Key>(runs: Map<Key, Speed[]>, key: Key, speed: Speed): void {
  runs.set(key, [...(runs.get(key) ?? []), speed])
}

function weftSpeed({ access }: RealPeer, where: 'local' | PlacementFile, { tokens, prompt }: Sizes): Promise<Speed> {
  return answerSpeed(access, { placement: where, short: SHORT_PROMPT, prompt, tokens })
}

/** `servers`: HOST:PORT of each. */
async function llamaSpeed(file: string, servers: readonly string[], layers: number, sizes: Sizes, within: string[]) {
  const { tokens, prompt, threads } = sizes
  const args = ['-m', file, '-t', threads, '-p', prompt, '-n', tokens, '-r', 1, '-o', 'json', '-ngl', layers]
  const rpc = ['--rpc', servers.join(','), ...(servers.length > 1 ? ['-ts', servers.map(() => 1).join('/')] : [])]
  const [command, ...rest] = [...within, LLAMA_BENCH, ...args.map(String), ...rpc]
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [status] = (await once(child, 'exit')) as [number | null]
  if (status !== 0) throw new Error(`${LLAMA_BENCH} ended with ${status}`)
  return llamaSpeeds(text)
}

/** The address of a host of the lab; the loopback without one. */
function hostAddress(within: readonly string[]): string {
  if (within.length === 0) return '127.0.0.1'
  const [command, ...rest] = [...within, 'ip', '-4', '-o', 'addr', 'show', 'scope', 'global']
  return /inet ([\d.]+)/.exec(execFileSync(command, rest, { encoding: 'utf8' }))![1]!
}

async function startServer(program: string, host: string, port: number, threads: number, within: readonly string[]) {
  const [command, ...rest] = [...within, program, '-H', host, '-p', String(port), '-t', String(threads)]
  const child = spawn(command, rest, { stdio: 'ignore' })
  // From outside of its namespace nobody reaches it: it has the time that it needs.
  if (within.length > 0) await systemClock().sleep(1_000)
  else await until(`${program} listens`, () => isOpen(host, port))
  return { child, at: `${host}:${port}` }
}

function isOpen(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host)
  return new Promise((resolve) => {
    socket.once('connect', () => (socket.destroy(), resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

interface Files {
  readonly weft: string
  readonly llama: string
  readonly weights: string
  readonly server: string | undefined
}

async function measure(files: Files, rtt: number, rate: string, sizes: Sizes): Promise<Row[]> {
  if (rtt > 0) netlab('up', '3', '--rtt', String(rtt), '--rate', rate)
  const within = (host: number): string[] => (rtt > 0 ? on(host) : [])
  const lab = await createLab()
  const servers: { readonly child: ChildProcess; readonly at: string }[] = []
  try {
    const threads = ['--threads', String(sizes.threads)]
    const start = (name: string, host: number): Promise<RealPeer> => lab.start(name, threads, within(host))
    const peers = [await start('a', 1), await start('b', 2), await start('c', 3)] as const
    const [a, b, c] = peers
    await joined(peers)
    const { blocks } = await a.access.importModel(
      { source: files.weft, name: 'bench', weights: files.weights as 'auto' },
      () => undefined,
    )
    const { shape } = languageModel(await a.access.manifest('bench'))
    const prompt = Math.min(sizes.prompt, shape.context - 1)
    const tokens = Math.min(sizes.tokens, shape.context - SHORT_PROMPT - 1)
    const fitted = { ...sizes, prompt, tokens }
    if (files.server !== undefined)
      for (const host of [2, 3]) {
        const port = rtt > 0 ? PORT : PORT + host
        servers.push(await startServer(files.server, hostAddress(within(host)), port, sizes.threads, within(host)))
      }
    const middle = blocks >> 1
    const layouts: Readonly<Record<Layout, PlacementFile>> = {
      'two servers': placement('bench', [
        [a, 0, 1],
        [b, 1, middle],
        [c, middle, blocks - 1],
        [a, blocks - 1, blocks],
      ]),
      'origin and a server': placement('bench', [
        [a, 0, middle],
        [b, middle, blocks],
      ]),
    }
    const layers = blocks - 2
    const [ours, theirs] = [new Map<Row['layout'], Speed[]>(), new Map<Layout, Speed[]>()]
    for (const where of ['local', ...Object.values(layouts)] as const) {
      await answerStats(a.access, { placement: where, rows: SHORT_PROMPT, tokens: 4 })
    }
    for (let round = 0; round < sizes.rounds; round++) {
      if (rtt === 0) note(ours, 'one process', await weftSpeed(a, 'local', fitted))
      for (const layout of LAYOUTS) {
        note(ours, layout, await weftSpeed(a, layouts[layout], fitted))
        if (servers.length === 0) continue
        const isBoth = layout === 'two servers'
        const at = servers.slice(0, isBoth ? 2 : 1).map((server) => server.at)
        const speed = await llamaSpeed(files.llama, at, isBoth ? 99 : layers >> 1, fitted, within(1))
        note(theirs, layout, speed)
      }
    }
    return [...ours].map(([layout, runs]) => {
      const llama = layout === 'one process' ? undefined : theirs.get(layout)
      return { rtt_ms: rtt, layout, weft: medians(runs), llama: llama === undefined ? null : medians(llama) }
    })
  } finally {
    for (const { child } of servers) await end(child)
    await lab.stop()
    if (rtt > 0) netlab('down')
  }
}

function line({ rtt_ms: rtt, layout, weft, llama }: Row): string {
  const pair = (what: keyof Speed, digits: number): string =>
    [
      weft[what].toFixed(digits),
      llama?.[what].toFixed(digits) ?? '-',
      llama === null ? '-' : (weft[what] / llama[what]).toFixed(2),
    ].join(' | ')
  return `| ${rtt === 0 ? 'loopback' : `RTT ${rtt} ms`} | ${layout} | ${pair('decode', 1)} | ${pair('prefill', 0)} |`
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      llama: { type: 'string' },
      weights: { type: 'string', default: 'auto' },
      rtt: { type: 'string', default: '0' },
      rate: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '64' },
      prompt: { type: 'string', default: '512' },
      threads: { type: 'string', default: '1' },
    },
  })
  const made = positionals[0] === '1b' ? await mkdtemp(join(tmpdir(), 'weft-bench-1b-')) : undefined
  const [weft = TINY] = made === undefined ? positionals : [join(made, '1b.gguf')]
  try {
    if (made !== undefined) await writeMadeUp(weft, { ...TINY_LLAMA, type: () => 'Q4_0' })
    await compare(weft, values)
  } finally {
    if (made !== undefined) await rm(made, { recursive: true, force: true })
  }
}

interface Values {
  readonly json: boolean
  readonly llama?: string
  readonly weights: string
  readonly rtt: string
  readonly rate: string
  readonly rounds: string
  readonly tokens: string
  readonly prompt: string
  readonly threads: string
}

async function compare(weft: string, values: Values): Promise<void> {
  const links = values.rtt.split(',').map(Number)
  if (links.some((rtt) => rtt > 0) && why !== undefined) throw new Error(`links cannot be made longer here: ${why}`)
  const runs = (program: string): boolean => spawnSync(program, ['--help'], { stdio: 'ignore' }).error === undefined
  const server = hasLlamaBench() ? SERVERS.find(runs) : undefined
  const files = { weft, llama: values.llama ?? weft, weights: values.weights, server }
  const { rounds, tokens, threads } = values
  for (const prompt of values.prompt.split(',').map(Number)) {
    const sizes = { rounds: +rounds, tokens: +tokens, prompt, threads: +threads }
    const rows: Row[] = []
    for (const rtt of links) rows.push(...(await measure(files, rtt, values.rate, sizes)))
    report(rows, files, values.rate, sizes, values.json)
  }
  if (server === undefined)
    process.stderr.write(`${LLAMA_BENCH} and rpc-server are not on the PATH or do not run: weft is measured alone.\n`)
}

function report(rows: readonly Row[], files: Files, rate: string, sizes: Sizes, json: boolean): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  const names = { model: basename(files.weft), weights: files.weights, llama: basename(files.llama) }
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.rpc/1', machine, ...names, unit: 'tokens/s', rate, ...sizes, rows }))
    return
  }
  out(
    `${machine}; links of ${rate} Mbit; weft: ${names.model} (${names.weights}); llama.cpp: ${names.llama}; medians of ${sizes.rounds}`,
  )
  out('')
  out(`| links | layout | decode | llama.cpp RPC | ratio | prefill of ${sizes.prompt} | llama.cpp RPC | ratio |`)
  out('| --- | --- | --- | --- | --- | --- | --- | --- |')
  for (const row of rows) out(line(row))
}

await main()
