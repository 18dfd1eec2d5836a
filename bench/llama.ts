/**
 * One weft process against llama.cpp on the same file and threads: decoding and prefill, in turns within one run,
 * medians of the rounds. `llama-bench` is taken from the PATH; without it weft is measured alone.
 *
 *   node bench/llama.ts [MODEL.gguf] [--json] [--rounds 5] [--threads 1,2] [--tokens 64] [--prompt 512]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { createRemotePeer } from '../src/cli/peer-remote.ts'
import type { PeerAccess } from '../src/cli/peer-access.ts'
import { languageModel } from '../src/models/index.ts'
import { socketPath, systemClock } from '../src/util/index.ts'
import { BIN, endProcess, TINY } from '../test/integration/support.ts'
import { answerSpeed, answerStats } from './support/answer-stats.ts'
import type { Speed } from './support/answer-stats.ts'
import { hasLlamaBench, LLAMA_BENCH, runLlamaBench } from './support/llama-bench.ts'
import { medians } from './support/median.ts'

/** llama-bench decodes from an empty context; this many rows are as good as none. */
const SHORT_PROMPT = 16
/** Weights of weft: as the file has them, and row int8. */
const FORMS = ['auto', 'int8'] as const
type Form = (typeof FORMS)[number]

interface Sizes {
  readonly rounds: number
  readonly tokens: number
  readonly prompt: number
}

interface Row {
  readonly threads: number
  readonly weights: Form
  readonly weft: Speed
  readonly llama: Speed | null
}

interface Weft {
  readonly access: PeerAccess
  stop(): Promise<void>
}

/** `weft up` as a process of its own, with no mesh around it. */
async function startWeft(home: string, threads: number): Promise<Weft> {
  const args = ['--json', '--home', home, '--lan', 'off', '--http', 'off', '--threads', String(threads)]
  const child = spawn(process.execPath, [BIN, 'up', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(child, 'close').then(() => Promise.reject(new Error(`weft up has ended: ${said}`)))
  await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended])
  ended.catch(() => undefined)
  const access = createRemotePeer({ clock: systemClock() }, { home, socket: socketPath(home, process.env) })
  return { access, stop: () => endProcess(child) }
}

function measureWeft(access: PeerAccess, model: string, { tokens, prompt }: Sizes): Promise<Speed> {
  return answerSpeed(access, { model, placement: 'local', short: SHORT_PROMPT, prompt, tokens })
}

/** All sides in turns, round after round. */
async function measure(home: string, file: string, threads: number, sizes: Sizes, beside: boolean): Promise<Row[]> {
  const weft = await startWeft(home, threads)
  try {
    const runs = new Map<Form, Speed[]>(FORMS.map((form) => [form, []]))
    const theirs: Speed[] = []
    for (const form of FORMS)
      await answerStats(weft.access, { model: form, placement: 'local', rows: SHORT_PROMPT, tokens: 4 })
    for (let round = 0; round < sizes.rounds; round++) {
      for (const form of FORMS) runs.get(form)!.push(await measureWeft(weft.access, form, sizes))
      const speed = beside ? runLlamaBench(['-m', file, '-t', threads, '-p', sizes.prompt, '-n', sizes.tokens]) : null
      if (speed !== null) theirs.push(speed)
    }
    const llama = theirs.length === 0 ? null : medians(theirs)
    return FORMS.map((weights) => ({ threads, weights, weft: medians(runs.get(weights)!), llama }))
  } finally {
    await weft.stop()
  }
}

/** Imports the model in both forms. @returns positions of its context */
async function importForms(home: string, source: string): Promise<number> {
  const weft = await startWeft(home, 1)
  try {
    for (const weights of FORMS) await weft.access.importModel({ source, name: weights, weights }, () => undefined)
    return languageModel(await weft.access.manifest('auto')).shape.context
  } finally {
    await weft.stop()
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      threads: { type: 'string', default: '1,2' },
      tokens: { type: 'string', default: '64' },
      prompt: { type: 'string', default: '512' },
    },
  })
  const file = positionals[0] ?? TINY
  const beside = hasLlamaBench()
  const home = await mkdtemp(join(tmpdir(), 'weft-bench-llama-'))
  try {
    const context = await importForms(home, file)
    const prompt = Math.min(Number(values.prompt), context - 1)
    const tokens = Math.min(Number(values.tokens), context - SHORT_PROMPT - 1)
    const sizes = { rounds: Number(values.rounds), tokens, prompt }
    const rows: Row[] = []
    for (const threads of values.threads.split(',').map(Number))
      rows.push(...(await measure(home, file, threads, sizes, beside)))
    report(rows, basename(file), sizes, values.json)
    if (!beside) process.stderr.write(`${LLAMA_BENCH} is not on the PATH or does not run: weft is measured alone.\n`)
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

function report(rows: readonly Row[], model: string, sizes: Sizes, json: boolean): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.llama/1', machine, model, unit: 'tokens/s', ...sizes, results: rows }))
    return
  }
  const { rounds, tokens, prompt } = sizes
  out(`${model}: ${tokens} tokens decoded, ${prompt} prefilled, medians of ${rounds} rounds. ${machine}`)
  out('')
  out('| threads | weights of weft | decode, tokens/s | llama.cpp | ratio | prefill, tokens/s | llama.cpp | ratio |')
  out('|---|---|---|---|---|---|---|---|')
  for (const { threads, weights, weft, llama } of rows) {
    const pair = (what: keyof Speed, digits: number): string =>
      [
        weft[what].toFixed(digits),
        llama?.[what].toFixed(digits) ?? '-',
        llama === null ? '-' : (weft[what] / llama[what]).toFixed(2),
      ].join(' | ')
    out(`| ${threads} | ${weights} | ${pair('decode', 1)} | ${pair('prefill', 0)} |`)
  }
}

await main()
