/** `weft adapter` and `weft eval` of an adapter: out as a GGUF file, in again, how good it is, and what is no adapter. */
import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import { safetensorsBytes } from '../../src/models/adapters/write-safetensors.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { TINY } from '../integration/support.ts'
import { call, json } from './support.ts'

const PLAN = {
  schema: 'weft.train-plan/1',
  seed: 2,
  task: 'language',
  data: { kind: 'text', path: 'texts.jsonl', length: 8 },
  split: { every: 4, test: 3 },
  model: { kind: 'base', name: 'mine' },
  optimizer: { kind: 'adamw', lr: 0.02 },
  epochs: 1,
  batch: 4,
  threads: 1,
}

let base: string
const at = (name: string): string => join(base, name)
const here = (...args: readonly string[]): ReturnType<typeof call> => call([...args, '--home', at('home')])
const adapter = (...args: readonly string[]): ReturnType<typeof call> => here('adapter', ...args, '--model', 'mine')

async function train(name: string, changes: object = {}): Promise<void> {
  await writeFile(at(`${name}.json`), JSON.stringify({ ...PLAN, ...changes }))
  expect(await here('train', at(`${name}.json`), '--out', at(name))).toMatchObject({ status: 0 })
}

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'weft-cli-adapter-'))
  await writeFile(at('mine.gguf'), writeGguf(tinyLlama()))
  const store = await createBlobStore({ directory: at('home/store') })
  const folders = { directory: at('home/partitions'), downloads: at('home/downloads') }
  await importModel({ store, clock: systemClock(), ...folders }, { source: at('mine.gguf') })
  await importModel({ store, clock: systemClock(), ...folders }, { source: TINY, name: 'real' })
  await writeFile(at('texts.jsonl'), `${JSON.stringify({ text: 'the sea the sea '.repeat(24) })}\n`)
  await train('low')
  await train('soft', { adapter: { kind: 'prompt', tokens: 2 } })
})
afterAll(() => rm(base, { recursive: true, force: true }))

describe('weft adapter', () => {
  it('writes a GGUF file, and what it reads of one is the adapter that it wrote', async () => {
    expect(await adapter('add', at('low'))).toMatchObject({ status: 0 })
    const out = await adapter('export', 'low', '--out', at('low.gguf'), '--json')
    const told = { schema: 'weft.adapter-exported/1', model: 'mine', name: 'low', file: at('low.gguf') }
    expect(json(out.stdout)).toEqual({ ...told, bytes: (await readFile(at('low.gguf'))).length })
    const added = await adapter('add', at('low.gguf'), '--name', 'back', '--json')
    expect(json(added.stdout)).toMatchObject({ schema: 'weft.adapter/1', name: 'back', kind: 'lora', rank: 8 })
    const [low, back] = await Promise.all(
      ['low', 'back'].map((name) => readFile(at(`home/adapters/mine/${name}/adapter_model.safetensors`))),
    )
    expect(back).toEqual(low)
    const listed = json((await here('adapter', 'ls', '--json')).stdout)['adapters'] as { name: string }[]
    expect(listed.map(({ name }) => name).sort()).toEqual(['back', 'low'])
    expect(await adapter('export', 'low', '--out', at('low.gguf'))).toMatchObject({ status: 2 })
  })

  it('keeps an adapter that is added once more, out of its own folder', async () => {
    const own = at('home/adapters/mine/again')
    expect(await adapter('add', at('low'), '--name', 'again')).toMatchObject({ status: 0 })
    expect(await adapter('add', own)).toMatchObject({ status: 0 })
    const files = await readdir(own)
    expect(files.sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
    expect(await adapter('rm', 'again')).toMatchObject({ status: 0 })
  })

  it('a soft prompt, and what is not here, are not written', async () => {
    const soft = await adapter('export', at('soft'), '--out', at('soft.gguf'))
    expect([soft.status, soft.stderr]).toEqual([8, expect.stringMatching(/no place for a soft prompt/)])
    const nobody = await adapter('export', 'nobody', '--out', at('soft.gguf'))
    expect(nobody.stderr).toContain('WEFT-MOD-052')
    expect(await readdir(base)).not.toContain('soft.gguf')
  })

  it.each([
    ['the model itself', () => readFile(at('mine.gguf')), 8, 'WEFT-MOD-110'],
    ['an adapter of another architecture', () => changed('\0llama', '\0qwen2'), 8, 'WEFT-MOD-110'],
    ['one that lacks a matrix', () => changed('blk.1.attn_v', 'blk.9.attn_v'), 8, 'WEFT-MOD-110'],
    ['one that is cut off', async () => (await exported()).subarray(0, -500), 8, 'WEFT-MOD-002'],
    ['something else', () => Promise.resolve(Buffer.from('no adapter at all')), 8, 'WEFT-MOD-002'],
  ])('%s is not taken in, and nothing of it is kept', async (_, bytes, status, code) => {
    await writeFile(at('bad.gguf'), await bytes())
    const bad = await adapter('add', at('bad.gguf'))
    expect([bad.status, bad.stderr]).toEqual([status, expect.stringContaining(code)])
    expect(await readdir(at('home/adapters/mine')).catch(() => [])).not.toContain('bad')
  })

  it('takes no folder without an adapter, nor a name that is none', async () => {
    await mkdir(at('empty'))
    expect((await adapter('add', at('empty'))).stderr).toContain('WEFT-MOD-110')
    await cp(at('low/adapter_model.safetensors'), at('empty/adapter_model.safetensors'))
    // Nobody writes into it.
    execFileSync('mkfifo', [at('empty/adapter_config.json')])
    expect((await adapter('add', at('empty'))).stderr).toContain('WEFT-MOD-110')
    await cp(at('low'), at('bare'), { recursive: true })
    await writeFile(at('bare/adapter_model.safetensors'), safetensorsBytes([], {}))
    expect((await adapter('add', at('bare'))).stderr).toMatch(/WEFT-MOD-110\s+why: it has no tensor/)
    expect((await adapter('add', at('low'), '--name', '../up')).stderr).toContain('WEFT-MOD-110')
    expect((await here('adapter', 'add', at('low'), '--model', 'nobody')).stderr).toContain('WEFT-MOD-050')
  })
})

describe('weft eval', () => {
  it.each(['low', 'soft'])('says of the adapter %s what its run said, and of other texts', async (name) => {
    const { metrics } = json(await readFile(at(`${name}/result.json`), 'utf8')) as { metrics: { test: object } }
    const own = await here('eval', at(name), '--json', '--threads', '1')
    const told = { schema: 'weft.evaluation/1', model: at(name), part: 'test', metrics: metrics.test }
    expect(json(own.stdout)).toEqual({ ...told, examples: expect.any(Number) as number })
    const other = json((await here('eval', at(name), '--data', at('texts.jsonl'), '--json')).stdout)
    expect(other).toMatchObject({ part: null, metrics: { perplexity: expect.any(Number) as number } })
    const shown = await here('eval', at(name), '--part', 'train')
    expect(shown).toMatchObject({ status: 0, stdout: expect.stringMatching(/^loss \d+\.\d{4}\n/m) as string })
    expect(shown.stderr).toContain('of the part train')
  })

  it('says what to name in place of a file of an adapter, and of a folder without a run', async () => {
    const file = await here('eval', at('low/adapter_model.safetensors'))
    expect(file).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`weft eval ${at('low')} evaluates it`) as string,
    })
    await mkdir(at('nothing'))
    const nothing = await here('eval', at('nothing'))
    expect(nothing.stderr).toMatch(/holds no run.*WEFT-INF-129/)
    expect((await here('eval', at('nope'))).status).toBe(4)
    expect(nothing.status).toBe(4)
    expect(nothing.stderr).toContain('name the folder of a run')
    await mkdir(at('begun'))
    await writeFile(at('begun/plan.json'), '{}')
    expect((await here('eval', at('begun'))).stderr).toContain('weft train --resume ends the run')
  })
})

describe('weft adapter merge', () => {
  /** Of the test part, in nats a token: a run that learns nothing says what the model says. */
  async function lossOf(model: string): Promise<number> {
    await train(`as-${model}`, { model: { kind: 'base', name: model }, optimizer: { kind: 'sgd', lr: 1e-30 } })
    const { metrics } = json(await readFile(at(`as-${model}/result.json`), 'utf8')) as { metrics: Parts }
    return metrics.test.loss
  }
  interface Parts {
    readonly test: { readonly loss: number }
  }

  it('in float32 says what the adapter says, and in other formats what these round', async () => {
    await train('far', { model: { kind: 'base', name: 'real' }, optimizer: { kind: 'adamw', lr: 0.01 }, epochs: 6 })
    const told = json((await here('eval', at('far'), '--json', '--threads', '1')).stdout) as unknown as {
      metrics: Parts['test']
    }
    const before = await lossOf('real')
    const merged: Record<string, number> = {}
    for (const weights of ['auto', 'f16', 'f32']) {
      const names = ['--model', 'real', '--name', `far-${weights}`, '--weights', weights]
      const made = await here('adapter', 'merge', at('far'), ...names)
      expect(made).toMatchObject({ status: 0 })
      merged[weights] = await lossOf(`far-${weights}`)
    }
    // The adapter is no small change.
    expect(before - told.metrics.loss).toBeGreaterThan(0.5)
    expect(Math.abs(merged['f32']! - told.metrics.loss)).toBeLessThan(1e-5)
    expect(Math.abs(merged['f16']! - told.metrics.loss)).toBeLessThan(1e-3)
    expect(Math.abs(merged['auto']! - told.metrics.loss)).toBeLessThan(2e-3)
  })
})

const exported = async (): Promise<Buffer> => {
  await rm(at('again.gguf'), { force: true })
  expect(await adapter('export', at('low'), '--out', at('again.gguf'))).toMatchObject({ status: 0 })
  return readFile(at('again.gguf'))
}

async function changed(from: string, to: string): Promise<Buffer> {
  return Buffer.from((await exported()).toString('latin1').replace(from, to), 'latin1')
}
