/**
 * Runs cases from a seed and tells its parent, in lines of JSON: progress, findings, and a summary. A process of its
 * own, so that a hang is ended and memory is measured.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WeftError } from '../../../../src/errors.ts'
import type { ModelManifest } from '../../../../src/models/index.ts'
import type { SourceModel } from '../../../../src/models/readers/source-model.ts'
import { createBlobStore } from '../../../../src/store/index.ts'
import { testModel } from '../../../pipeline/support/stages.ts'
import { writeGguf } from '../gguf-writer.ts'
import { bendBytes } from './bytes.ts'
import { llama2cTokenizer } from '../llama2c-writer.ts'
import { TINY_TOKENS } from '../tiny-llama.ts'
import { judge, judgeTokenizer, manifestOf } from './oracle.ts'
import { seeded } from './random.ts'
import { baseSpecs, bendSpec } from './specs.ts'

/** Every so many cases the parent hears that this process lives. */
const BEAT = 50
/** Models that came through are also run; each costs a tenth of a second, longer contexts a file of their length. */
const RUN_ONE_IN = 12
const MOST_CONTEXT = 65_536

const [seed, from, to] = process.argv.slice(2).map(Number) as [number, number, number]

const specs = baseSpecs()
const files = specs.map(writeGguf)
const pieces = llama2cTokenizer(TINY_TOKENS)
const codes: Record<string, number> = {}
let ran = 0
let slowest = { ms: 0, index: 0, what: '' }

const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** Through the packer and the engine: rows come out, or a coded error. */
async function run(bytes: Uint8Array, model: SourceModel): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'weft-fuzz-'))
  try {
    const store = await createBlobStore({ directory: join(directory, 'store') })
    const addresses = new Map<string, string>()
    for (const { name, offset, bytes: length } of model.tensors.values()) {
      addresses.set(name, (await store.put(bytes.slice(offset, offset + length))).address)
    }
    const manifest: ModelManifest = manifestOf(model, (name) => addresses.get(name)!)
    const tested = testModel(store, join(directory, 'cache'), manifest)
    const stage = await tested.stage(1, manifest.shape.layers + 1)
    const head = await tested.head()
    const ids = [0, 1, manifest.shape.vocabulary - 1]
    const [rows] = await stage.run([{ cache: stage.newCache(0), rows: tested.embed(ids), count: ids.length }])
    await head.run([rows!.subarray(0, tested.rowBytes)])
    await stage.release()
    await head.release()
    ran++
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    codes[error.code] = (codes[error.code] ?? 0) + 1
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function one(index: number): Promise<void> {
  const random = seeded(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b))
  let what = ''
  try {
    let bytes: Uint8Array
    const started = process.hrtime.bigint()
    if (index % 10 === 9) {
      const bent = bendBytes(pieces, pieces.length, random)
      what = `llama2.c ${bent.what}`
      const { code } = judgeTokenizer(bent.bytes, TINY_TOKENS.length)
      codes[code ?? 'works'] = (codes[code ?? 'works'] ?? 0) + 1
      return
    }
    if (index % 2 === 0) {
      const bent = bendSpec(specs, random)
      what = bent.what
      bytes = writeGguf(bent.spec)
    } else {
      const bent = bendBytes(random.pick(files), 16_384, random)
      what = bent.what
      bytes = bent.bytes
    }
    const { code, model } = await judge(bytes)
    const ms = Number(process.hrtime.bigint() - started) / 1e6
    if (ms > slowest.ms) slowest = { ms: Math.round(ms), index, what }
    codes[code ?? 'works'] = (codes[code ?? 'works'] ?? 0) + 1
    if (model !== undefined && model.shape.context <= MOST_CONTEXT && random.once(RUN_ONE_IN)) await run(bytes, model)
  } catch (error) {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error)
    tell({ type: 'finding', index, what, error: told.split('\n').slice(0, 6).join('\n') })
  }
}

const before = process.resourceUsage().maxRSS
for (let index = from; index < to; index++) {
  if (index % BEAT === 0) tell({ type: 'beat', index })
  await one(index)
}
const grown = Math.round((process.resourceUsage().maxRSS - before) / 1024)
tell({ type: 'end', cases: to - from, codes, ran, slowest, grown })
