import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { importModel, splitModelFiles } from '../../src/models/index.ts'
import type { ModelManifest, SplitManifest, SplitRequest } from '../../src/models/index.ts'
import type { WeftError } from '../../src/errors.ts'
import { balanceOf, blockRanges, chooseCuts, evenCuts } from '../../src/models/split/cuts.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { Engine } from '../../src/onnx/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { openChain, readSplit, session } from './support/split-chain.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-split-files-'))
let store: BlobStore
let manifest: ModelManifest
let out: string
let count = 0

beforeAll(async () => {
  store = await createBlobStore({ directory: join(base, 'store') })
  const source = join(base, 'tiny.gguf')
  writeFileSync(source, writeGguf(tinyLlama()))
  const needs = { store, clock: systemClock(), directory: join(base, 'partitions'), downloads: join(base, 'downloads') }
  manifest = await importModel(needs, { source, name: 'tiny' })
})
beforeEach(() => {
  out = join(base, `out-${count++}`)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

function split(
  request: Partial<SplitRequest> = {},
  more: { engine?: Engine; signal?: AbortSignal; progress?: () => void } = {},
): Promise<SplitManifest> {
  const needs = { store, engine: () => more.engine ?? createOrtEngine() }
  return splitModelFiles(needs, { manifest, out, ...request }, more.progress, more.signal)
}

function refusal(request: Partial<SplitRequest>, more: Parameters<typeof split>[1] = {}): Promise<unknown> {
  return split(request, more).then(
    () => 'written',
    (error: unknown) => error,
  )
}

describe('cuts', () => {
  it('make as many partitions as are asked for, of contiguous blocks, none empty', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 9, noNaN: true }), { minLength: 1, maxLength: 24 }),
        fc.nat(),
        (costs, n) => {
          const parts = 1 + (n % costs.length)
          const cuts = evenCuts(blockRanges(costs, costs), parts)!
          expect(cuts).toHaveLength(parts - 1)
          expect(cuts.every((cut, index) => cut > (cuts[index - 1] ?? 0) && cut < costs.length)).toBe(true)
        },
      ),
    )
  })

  it('are the most even ones there are', () => {
    const squares = (costs: readonly number[], cuts: readonly number[]): number =>
      [...cuts, costs.length].reduce((sum, end, index) => {
        const part = costs.slice(cuts[index - 1] ?? 0, end).reduce((a, b) => a + b, 0)
        return sum + part * part
      }, 0)
    const small = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 3, maxLength: 9 })
    fc.assert(
      fc.property(small, (costs) => {
        const found = squares(costs, evenCuts(blockRanges(costs, costs), 3)!)
        for (let first = 1; first < costs.length - 1; first++) {
          for (let second = first + 1; second < costs.length; second++) {
            expect(found).toBeLessThanOrEqual(squares(costs, [first, second]))
          }
        }
      }),
    )
  })

  it('into more partitions than there are blocks are fewer, and say why', async () => {
    const result = await split({ parts: 9 })
    expect(result.partitions.map(({ blocks }) => blocks)).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ])
    expect(result).toMatchObject({
      verdict: 'fewer-parts',
      why: 'tiny has 4 blocks, so it makes 4 partitions and not 9',
    })
    expect(readSplit(out)).toEqual(result)
    expect(await split({ parts: 4 })).not.toHaveProperty('verdict')
  })

  it.each([
    [{ parts: 0 }, /0 is no number/],
    [{ parts: -1 }, /-1 is no number/],
    [{ parts: 1.5 }, /1.5 is no number/],
    [{ cuts: [0] }, /block 0 is not one of 1 to 3/],
    [{ cuts: [4] }, /block 4 is not one of 1 to 3/],
    [{ cuts: [1, Number.NaN] }, /block NaN/],
    [{ cuts: [2, 2] }, /2 does not rise after 2/],
    [{ cuts: [3, 1] }, /1 does not rise after 3/],
    [{ cuts: [1], parts: 2 }, /exclude/],
  ])('that cannot be are refused, and nothing is made: %j', async (request, message) => {
    const error = await refusal(request)
    expect(error).toMatchObject({ code: 'WEFT-MOD-060', info: { exit: 2 } })
    expect(String(error)).toMatch(message)
    expect(existsSync(out)).toBe(false)
  })

  it('hold each partition under a limit of memory, or say the least that is needed', () => {
    const ample = chooseCuts(manifest, { parts: 2 }).balance
    expect(ample).toMatchObject({ exact: true, memory: [expect.any(Number), expect.any(Number)] })
    expect(ample.above).toBe(Math.max(0, ample.largest / ample.bound - 1))
    let told: unknown
    try {
      chooseCuts(manifest, { parts: 2, memory: 1 })
    } catch (error) {
      told = error
    }
    expect(told).toMatchObject({ code: 'WEFT-INF-097', details: { parts: 2, limit: 1 } })
    const { least } = (told as WeftError).details as { readonly least: number }
    const tight = chooseCuts(manifest, { parts: 2, memory: least })
    expect(Math.max(...tight.balance.memory)).toBe(least)
    expect(() => chooseCuts(manifest, { parts: 2, memory: least - 1 })).toThrow(`under ${least - 1} bytes`)
    expect(() => chooseCuts(manifest, { cuts: [1], memory: 1 })).toThrow('these cuts do not keep each partition under')
  })

  it('whose largest cost is the least have that as their bound', () => {
    const small = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 3, maxLength: 9 })
    fc.assert(
      fc.property(small, (costs) => {
        const ends = costs.slice(1).map((_, index) => index + 1)
        const largest = (cut: number): number =>
          Math.max(...[costs.slice(0, cut), costs.slice(cut)].map((part) => part.reduce((sum, cost) => sum + cost, 0)))
        const { bound, above, largest: own } = balanceOf(blockRanges(costs, costs), [1], Infinity)
        expect(bound).toBe(Math.min(...ends.map(largest)))
        expect(own).toBe(largest(1))
        expect(above).toBe(bound === 0 ? 0 : own / bound - 1)
      }),
    )
  })

  it('of no number are one in the middle, and no cuts are one partition', () => {
    expect(chooseCuts(manifest, {}).cuts).toHaveLength(1)
    expect(chooseCuts(manifest, { cuts: [] }).cuts).toEqual([])
  })
})

const names = (): string[] => readdirSync(out).toSorted()

describe('the folder', () => {
  it('is written again by a second split, and keeps nothing of the first', async () => {
    await split({ parts: 4 })
    const first = readFileSync(join(out, 'partition-0.onnx'))
    await split({ parts: 2, check: true })
    expect(names()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx'])
    await split({ parts: 4 })
    expect(names()).toHaveLength(5)
    expect(readFileSync(join(out, 'partition-0.onnx')).equals(first)).toBe(true)
  })

  it('may be there and empty, or deep where nothing is', async () => {
    mkdirSync(out)
    await split()
    out = join(out, 'a', 'b')
    await split()
    expect(names()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx'])
  })

  it('of an earlier split keeps the files that are not of it', async () => {
    await split({ parts: 3 })
    writeFileSync(join(out, 'notes.txt'), 'mine')
    await split({ parts: 1 })
    expect(names()).toEqual(['manifest.json', 'notes.txt', 'partition-0.onnx'])
  })

  it.each([
    ['other files', 'notes.txt', 'mine'],
    ['a manifest of something else', 'manifest.json', '{"schema":"other/1"}'],
    ['a manifest that is none', 'manifest.json', 'partitions'],
    ['partitions without a manifest', 'partition-0.onnx', 'x'],
  ])('that holds %s is refused and left as it is', async (_what, name, content) => {
    mkdirSync(out)
    writeFileSync(join(out, name), content)
    expect(await refusal({ parts: 2 })).toMatchObject({ code: 'WEFT-MOD-061', info: { exit: 2 } })
    expect(names()).toEqual([name])
    expect(readFileSync(join(out, name), 'utf8')).toBe(content)
  })

  it('cannot be a file, or below one', async () => {
    writeFileSync(out, 'x')
    expect(await refusal({})).toMatchObject({ code: 'WEFT-MOD-061' })
    out = join(out, 'below')
    expect(await refusal({})).toMatchObject({ code: 'WEFT-MOD-062', info: { exit: 5 } })
    expect(readFileSync(dirname(out), 'utf8')).toBe('x')
  })

  it('may be a link to a folder', async () => {
    const target = `${out}-target`
    mkdirSync(target)
    symlinkSync(target, out)
    await split()
    expect(readdirSync(target)).toHaveLength(3)
  })

  it('is not written by two at a time', async () => {
    const settled = await Promise.allSettled([split({ parts: 2 }), split({ parts: 3 })])
    const refused = settled.filter((one) => one.status === 'rejected')
    expect(refused.map(({ reason }: { reason: unknown }) => reason)).toEqual([
      expect.objectContaining({ code: 'WEFT-MOD-061' }),
    ])
    expect(names()).toHaveLength(1 + readSplit(out).partitions.length)
  })
})

describe('a split that does not come to its end', () => {
  it('leaves nothing when it is aborted, and the earlier one where there was one', async () => {
    const stop = new AbortController()
    const aborted = refusal({}, { signal: stop.signal, progress: () => stop.abort(new Error('enough')) })
    expect(String(await aborted)).toMatch(/enough/)
    expect(existsSync(out)).toBe(false)
    const before = await split({ parts: 3 })
    const again = new AbortController()
    await refusal({}, { signal: again.signal, progress: () => again.abort(new Error('enough')) })
    expect(readSplit(out)).toEqual(before)
    expect(names()).toHaveLength(4)
  })

  it('says which blocks are missing', async () => {
    const { address } = manifest.blocks[2]!.tensors[0]!
    const bytes = await store.readAll(address)
    await store.remove(address)
    const error = await refusal({})
    await store.put(bytes)
    expect(error).toMatchObject({ code: 'WEFT-MOD-063', info: { exit: 4 }, details: { model: 'tiny', blocks: [2] } })
    expect(existsSync(out)).toBe(false)
  })

  it('leaves what the next one takes away, when it is killed', async () => {
    const program = fileURLToPath(new URL('support/split-child.ts', import.meta.url))
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, base, 'tiny', out])
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(names()).toEqual([`.weft-split-${child.pid}-0`])
    await split({ parts: 2 })
    expect(names()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx'])
  })

  it('can be done again when it was killed while the files were moved', async () => {
    await split({ parts: 2 })
    // As it stands then: the earlier manifest is gone, the new one still in the folder of a process that has ended.
    const left = join(out, '.weft-split-4194304999-0')
    mkdirSync(left)
    writeFileSync(join(left, 'manifest.json'), readFileSync(join(out, 'manifest.json')))
    rmSync(join(out, 'manifest.json'))
    await split({ parts: 3 })
    expect(names()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx', 'partition-2.onnx'])
    const chain = await openChain(out)
    await session(chain, [1, 2, 3], [2, 1])
    await chain.release()
  })
})

/** The real engine, but one output of one file has one bit turned. */
function faulty(file: string, output: string): Engine {
  const real = createOrtEngine()
  return {
    kernelId: real.kernelId,
    attention: real.attention,
    async load(path, options) {
      const graph = await real.load(path, options)
      if (!path.endsWith(file)) return graph
      return {
        release: () => graph.release(),
        runAny: (feeds, fetches) => graph.runAny(feeds, fetches),
        async run(feeds, fetches) {
          const outputs = await graph.run(feeds, fetches)
          const { data } = outputs[output]!
          const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
          bytes[1] = bytes[1]! ^ 0x40
          return outputs
        },
      }
    },
  }
}

describe('the check', () => {
  it('says what it has compared', async () => {
    const { check } = await split({ parts: 3, check: true })
    const { layers, kv_heads: heads, vocabulary } = manifest.shape
    // Totals after each of the runs 24, 9 and eight ones; keys and values in heads of 16.
    const positions = [24, 33, 34, 35, 36, 37, 38, 39, 40, 41].reduce((sum, total) => sum + total, 0)
    expect(check).toMatchObject({ equal: true, compared: 41 * vocabulary + positions * layers * 2 * heads * 16 })
    expect(names()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx', 'partition-2.onnx'])
  })

  it.each([
    ['partition-2.onnx', 'logits'],
    ['partition-1.onnx', 'present.key.2'],
    ['partition-0.onnx', 'hidden.2'],
  ])('finds one wrong bit of %s in %s, and nothing is written', async (file, output) => {
    const error = await refusal({ cuts: [2, 3], check: true }, { engine: faulty(file, output) })
    expect(error).toMatchObject({ code: 'WEFT-MOD-064', info: { exit: 8 }, details: { model: 'tiny' } })
    expect(existsSync(out)).toBe(false)
  })
})

const canMount = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(!canMount)('a disk that is full (skipped: needs root for a small tmpfs)', () => {
  it.each([
    ['from the start', 64, 0],
    ['when others fill it meanwhile', 512, 300_000],
  ])('%s is said with a code, and nothing is left', async (_when, kilobytes, filled) => {
    mkdirSync(out)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', out])
    try {
      const fill = (): void => {
        if (filled > 0) writeFileSync(join(out, '.weft-split-4194304999-0'), new Uint8Array(filled))
      }
      const error = await refusal({ parts: 2, check: true }, { progress: fill })
      expect(error).toMatchObject({ code: 'WEFT-STO-007', info: { exit: 6 } })
      expect(names().filter((name) => !name.endsWith('4194304999-0'))).toEqual([])
    } finally {
      execFileSync('umount', [out])
    }
  })
})
