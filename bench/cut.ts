/**
 * What a cut costs inside one stage host: decoding over all layers as one range against the same layers in two and
 * more ranges that follow one another without a frame between them. One thread. Step by step the hosts take turns;
 * of each step the least disturbed of the rounds counts, and all must choose the same tokens.
 *
 *   node bench/cut.ts [MODEL.gguf] [--json] [--rounds 6] [--tokens 32]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { importModel } from '../src/models/index.ts'
import { DTYPE, encodeControl, frame } from '../src/net/index.ts'
import type { Frame } from '../src/net/index.ts'
import { GREEDY } from '../src/pipeline/index.ts'
import { HOST, RUN } from '../src/pipeline/host/protocol.ts'
import type { OpenControl } from '../src/pipeline/host/protocol.ts'
import { startStageHost } from '../src/pipeline/host/stage-host.ts'
import type { StageHost } from '../src/pipeline/host/stage-host.ts'
import { createBlobStore } from '../src/store/index.ts'
import { systemClock } from '../src/util/index.ts'
import { TINY } from '../test/integration/support.ts'

const PROMPT = 16
const clock = systemClock()

/** A host with its ranges, seen as what takes a step and gives a token. */
interface Case {
  readonly ranges: number
  readonly host: StageHost
  readonly blocks: number
  /** Of each step, the best of the rounds in milliseconds. */
  readonly best: number[]
  tokens: number[]
}

interface Row {
  readonly ranges: number
  readonly msPerToken: number
  readonly msPerCut: number
  /** Of a token, all cuts together. */
  readonly percent: number
}

/** All blocks; the layers in so many ranges of about equal length. */
function ranges(blocks: number, count: number): [number, number][] {
  const at = (index: number): number => {
    if (index === 0) return 0
    return index === count ? blocks : 1 + Math.round(((blocks - 2) * index) / count)
  }
  return Array.from({ length: count }, (_, index) => [at(index), at(index + 1)])
}

function send(host: StageHost, request: number, ids: readonly number[], position: number): Promise<Frame> {
  const answer = new Promise<Frame>((resolve) =>
    host.onFrame((message) => message.type !== HOST.opened && resolve(message)),
  )
  const payload = new Uint8Array(Int32Array.from(ids).buffer)
  const rows = { dtype: DTYPE.i32, dims: [ids.length], position, payload }
  return host.send(frame({ type: HOST.run, request, flags: RUN.token, ...rows })).then(() => answer)
}

/** @returns the token that follows `ids` */
async function step(host: StageHost, request: number, ids: readonly number[], position: number): Promise<number> {
  const message = await send(host, request, ids, position)
  if (message.type !== HOST.token) throw new Error(`the stage host answered with a frame of type ${message.type}`)
  return new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
}

async function round(cases: readonly Case[], request: number, steps: number): Promise<void> {
  const ids = Array.from({ length: PROMPT }, (_, index) => 300 + ((index * 37) % 500))
  for (const one of cases) {
    const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
    const control: OpenControl = { from: 0, to: one.blocks, positions: PROMPT + steps, sampler }
    await one.host.send(frame({ type: HOST.open, request, control: encodeControl(control) }))
    one.tokens = [await step(one.host, request, ids, 0)]
  }
  for (let index = 0; index < steps; index++) {
    // Who comes first in a step changes, so that no host always follows the same other.
    for (let turn = 0; turn < cases.length; turn++) {
      const { host, best, tokens } = cases[(turn + index) % cases.length]!
      const started = clock.now()
      tokens.push(await step(host, request, [tokens.at(-1)!], PROMPT + index))
      best[index] = Math.min(best[index] ?? Infinity, clock.now() - started)
    }
  }
  for (const one of cases) await one.host.send(frame({ type: HOST.close, request }))
  const texts = new Set(cases.map(({ tokens }) => tokens.join(' ')))
  if (texts.size > 1) throw new Error('a cut has changed a token')
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '6' },
      tokens: { type: 'string', default: '32' },
    },
  })
  const source = positionals[0] ?? TINY
  const directory = await mkdtemp(join(tmpdir(), 'weft-bench-cut-'))
  const cases: Case[] = []
  try {
    const store = await createBlobStore({ directory: join(directory, 'store') })
    const needs = { store, clock, directory, downloads: join(directory, 'downloads') }
    const manifest = await importModel(needs, { source, name: 'bench' })
    const manifestPath = join(directory, 'manifest.json')
    await writeFile(manifestPath, JSON.stringify(manifest))
    const blocks = manifest.blocks.length
    for (const count of new Set([1, 2, Math.min(4, blocks - 2), blocks - 2])) {
      const host = startStageHost({ clock, codeCache: join(directory, 'code') })
      cases.push({ ranges: count, host, blocks, best: [], tokens: [] })
      await host.load({
        manifestPath,
        storeDirectory: join(directory, 'store'),
        cacheDirectory: join(directory, 'cache'),
        ranges: ranges(blocks, count),
        threads: 1,
        kvBytes: 2 ** 31,
      })
    }
    const steps = Math.min(Number(values.tokens), manifest.shape.context - PROMPT - 1)
    for (let request = 1; request <= Number(values.rounds); request++) await round(cases, request, steps)
    report(cases, basename(source), values.json)
  } finally {
    for (const { host } of cases) await host.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

function report(cases: readonly Case[], model: string, json: boolean): void {
  const times = cases.map(({ best }) => best.reduce((sum, ms) => sum + ms, 0) / best.length)
  const rows = cases.map(({ ranges: count }, index): Row => {
    const more = times[index]! - times[0]!
    return {
      ranges: count,
      msPerToken: times[index]!,
      msPerCut: count === 1 ? 0 : more / (count - 1),
      percent: (100 * more) / times[0]!,
    }
  })
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.cut/1', machine, model, unit: 'ms', results: rows }))
    return
  }
  out(`${model}, 1 thread, ranges in one stage host, the same tokens from all. ${machine}`)
  out('')
  out('| ranges | ms a token | a cut, ms | all cuts, of a token |')
  out('|---|---|---|---|')
  for (const row of rows)
    out(`| ${row.ranges} | ${row.msPerToken.toFixed(2)} | ${row.msPerCut.toFixed(3)} | ${row.percent.toFixed(1)} % |`)
}

await main()
