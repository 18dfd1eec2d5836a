/** Imports that choose weight formats: real models, with random weights, measured in real children. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createWeightChooser, qualityReport } from '../../src/compress/index.ts'
import { checkManifest, importModel } from '../../src/models/index.ts'
import type { ModelImportRequest, ModelManifest, ProgressListener } from '../../src/models/index.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { Progress } from '../../src/peer/index.ts'
import type { FormatSpeed } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { CONFIGS, tensorsOf, TOKENIZER } from '../models/support/hub-models.ts'
import { writeHubFolder } from '../models/support/hub-writer.ts'
import { ownTemporary } from '../models/support/scratch.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'

const { base, scratch } = ownTemporary('weft-measured-')

/** Layer, from 0, of which each block of weights has one that is far larger than the others. */
const ROUGH = 1

/** A Llama of four layers in 16 bits; the larger its embedding, the more an error does to its logits. */
function folder(name: string, embedding: number): string {
  const config = { ...CONFIGS['llama']!, num_hidden_layers: 4, intermediate_size: 96, tie_word_embeddings: true }
  const tensors = tensorsOf(config, 5)
  for (const [tensor, { values }] of tensors) {
    if (tensor.includes('embed')) for (const [at, value] of values.entries()) values[at] = value * embedding
    if (!tensor.startsWith(`model.layers.${ROUGH}.`) || !tensor.includes('proj')) continue
    for (let at = 0; at < values.length; at += 32) values[at] = values[at]! * 12
  }
  return writeHubFolder(join(base, name), { config, tensors, tokenizer: TOKENIZER, type: 'F16' })
}

const SOFT = folder('soft', 0.03)
const SHARP = folder('sharp', 1)
const QUANTISED = join(base, 'quantised.gguf')
writeFileSync(QUANTISED, writeGguf(tinyLlama({ matrix: 'Q8_0' })))

interface Home {
  readonly directory: string
  readonly speeds: FormatSpeed[]
  readonly unmeasured: string[]
  import(request: ModelImportRequest, listen?: ProgressListener, signal?: AbortSignal): Promise<ModelManifest>
}

let homes = 0

/** The file is opened here; formats are measured in a child, as a peer has it done. */
async function home(): Promise<Home> {
  const directory = join(base, `home-${homes++}`)
  const storeDirectory = join(directory, 'store')
  const store = await createBlobStore({ directory: storeDirectory })
  const clock = systemClock()
  const made: Home = {
    directory,
    speeds: [],
    unmeasured: [],
    import: (request, listen, signal) => importModel(needs, { name: 'm', ...request }, listen, signal),
  }
  const weights = createWeightChooser({
    child: { clock, storeDirectory, codeCache: join(base, 'code') },
    range: 'A text that upsets models: aaaa aaaa 1984.',
    fitsHalf: (largest) => largest < 30_000,
    onSpeeds: (_, speeds) => made.speeds.push(...speeds),
    onUnmeasured: (why) => made.unmeasured.push(why),
  })
  const needs = { store, clock, directory: join(directory, 'partitions'), downloads: join(directory, 'in'), weights }
  return made
}

const formats = ({ blocks }: ModelManifest): string[] => blocks.slice(1).map(({ weights }) => weights)

describe('a model in 16 bits', () => {
  it('gets for each layer what it needs, the same everywhere, and is measured once', async () => {
    const peer = await createPeer({ home: join(base, 'peer'), offline: true })
    const steps: Progress[] = []
    const info = await peer.importModel({ source: SOFT, name: 'm' }, (step) => steps.push(step))
    const first = (await peer.manifest('m')) as ModelManifest
    expect(formats(first)).toEqual(['q4', 'int8', 'q4', 'q4', 'q4'])
    expect(first.quality!.errors[ROUGH + 1]!.q4!).toBeGreaterThan(2 * first.quality!.errors[1]!.q4!)
    const measured = steps.filter(({ task }) => task === 'measuring the layers of m')
    expect(measured.map(({ done }) => done)).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(steps.some(({ task }) => task.startsWith('checking the range'))).toBe(false)
    expect(info.quality).toMatchObject({ asked: 'auto', calibration: 'weft-page-1', passed: true })
    const told = info.quality!.formats.map(({ weights, layers, speed }) => [weights, layers, speed!.alone_ms > 0])
    expect(told).toEqual([
      ['q4', 4, true],
      ['int8', 1, true],
      ['q8', 0, true],
      ['f32', 0, true],
    ])
    expect(info.quality!.memory).toBe(first.blocks.reduce((sum, { memory }) => sum + memory, 0))
    expect(info.quality!.memory).toBeLessThan(info.quality!.memory_float32 / 4)
    const again = await peer.importModel({ source: SOFT, name: 'm' })
    expect(again.digest).toBe(info.digest)
    expect(peer.status().counters).toMatchObject({ models_measured: 1, import_children: 4 })
    await peer.stop({ drain: 0 })
    expect(await (await home()).import({ source: SOFT })).toEqual(first)
  })

  it('in a format that was asked for is measured in that one, and told when it costs too much', async () => {
    const there = await home()
    const manifest = await there.import({ source: SHARP, weights: 'q4' })
    expect(new Set(formats(manifest))).toEqual(new Set(['q4']))
    const report = qualityReport(manifest, there.speeds)!
    expect(report).toMatchObject({ asked: 'q4', passed: false })
    expect(report.divergence).toBeGreaterThan(0.01)
    expect(report.formats.map(({ weights, layers }) => [weights, layers])).toEqual([['q4', 5]])
    expect(there.unmeasured).toEqual([])
  })

  it('keeps 8 bits in blocks, unmeasured, where measuring is not wanted', async () => {
    const manifest = await (await home()).import({ source: SHARP, measure: 'never' })
    expect(new Set(formats(manifest))).toEqual(new Set(['auto']))
    expect(manifest.quality).toBeUndefined()
  })

  it('leaves nothing when it is stopped in the middle of a measurement', async () => {
    const { directory, ...there } = await home()
    const stop = new AbortController()
    const listen: ProgressListener = ({ task, done }) => {
      if (task.startsWith('measuring') && done === 2) stop.abort()
    }
    await expect(there.import({ source: SHARP }, listen, stop.signal)).rejects.toThrow(/abort/i)
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    expect(files.map(({ name }) => name)).toEqual([])
    expect(readdirSync(scratch).filter((name) => name.startsWith('weft-'))).toEqual([])
  })
})

describe('a quantised model', () => {
  it('stays as it is, and is measured only when that is wanted, on a text of one’s own', async () => {
    const there = await home()
    const plain = await there.import({ source: QUANTISED })
    expect(plain.quality).toBeUndefined()
    expect(new Set(formats(plain))).toEqual(new Set(['auto']))
    const calibration = 'All is well that ends well, said the sailor. '.repeat(40)
    const measured = await there.import({ source: QUANTISED, measure: 'always', calibration })
    expect(measured).toEqual({ ...plain, quality: measured.quality })
    expect(measured.quality!.calibration).toMatch(/^sha256:[0-9a-f]{64}$/)
    // It is written, and read by whoever starts next; a wrong one is refused.
    const written = JSON.parse(readFileSync(join(there.directory, 'partitions', 'm.json'), 'utf8')) as ModelManifest
    expect(checkManifest(written)).toEqual(measured)
    for (const wrong of [{ errors: [] }, { perplexity: -1 }, { calibration: '\u001B[2J' }]) {
      expect(() => checkManifest({ ...written, quality: { ...written.quality!, ...wrong } })).toThrow(/./)
    }
    const short = { source: QUANTISED, measure: 'always', calibration: 'Too short.' } as const
    await expect(there.import({ ...short, name: 'n' })).rejects.toMatchObject({ code: 'WEFT-MOD-095' })
  })
})
