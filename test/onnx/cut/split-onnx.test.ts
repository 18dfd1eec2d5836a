/** From a file to files: cut, written, proven, with the engine and in child processes as they really run. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkInChild, OnnxCutsError, OnnxSplitDiffersError, runCheck, splitOnnx } from '../../../src/onnx/index.ts'
import type { CheckTask, SplitOnnxNeeds, SplitOnnxRequest, SplitPlan } from '../../../src/onnx/index.ts'
import { assignParts, blocksOf, factsOf, partitionModel } from '../../../src/onnx/cut/index.ts'
import { checkModel, inlineFunctions, readModel, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model, Node, TensorValue, ValueType } from '../../../src/onnx/ir/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { filled, floats, graph, int64s, model, node, tensor, tensorType } from './support/build.ts'
import { chain, engine, whole } from './support/chain.ts'

const DATA = new URL('../../../../shared/data/', import.meta.url)
const REAL = { yolox: 'vision/yolox_nano.onnx', silero: 'audio/silero_vad_v5.onnx', gtcrn: 'audio/gtcrn_simple.onnx' }
const has = (name: keyof typeof REAL): boolean => existsSync(new URL(REAL[name], DATA))
const pathOf = (name: keyof typeof REAL): string => new URL(REAL[name], DATA).pathname

let directory: string
let out: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-split-onnx-'))
  out = join(directory, 'out')
  await mkdir(out)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const here: SplitOnnxNeeds = { check: (task) => runCheck({ engine }, task) }
const inChild = (): SplitOnnxNeeds => ({
  check: (task, signal) => checkInChild({ clock: systemClock(), codeCache: join(directory, 'code') }, task, signal),
})

async function splitModel(made: Model, request: Partial<SplitOnnxRequest> = {}, needs = here): Promise<SplitPlan> {
  const path = join(directory, 'model.onnx')
  await writeModel(made, path)
  return splitOnnx(needs, path, { out, ...request })
}

const ROWS = tensorType('float32', ['rows', 16])
const weights = (name: string): TensorValue =>
  floats(
    name,
    [16, 16],
    Array.from({ length: 256 }, (_, at) => ((at * 37 + name.length) % 19) / 40 - 0.2),
  )

/** Products with an activation each: `layers` places where a cut does no harm. */
function layered(layers: number, type = ROWS): Model {
  const nodes: Node[] = []
  for (let at = 0; at < layers; at++) {
    nodes.push(node('MatMul', [`x${at}`, `w${at}`], [`m${at}`]), node('Softmax', [`m${at}`], [`x${at + 1}`]))
  }
  const initializers = Array.from({ length: layers }, (_, at) => weights(`w${at}`))
  return model({ nodes, inputs: { x0: type }, outputs: { [`x${layers}`]: type }, initializers })
}

describe('splitting a file', () => {
  it('writes partitions that chain by name and are proven as they will run', async () => {
    const plan = await splitModel(layered(6), { parts: 3 })
    expect(plan).toMatchObject({
      optimization: 'all',
      halfAsFloat: false,
      check: { kind: 'equal', cases: 2, compared: 48 },
    })
    expect(plan.verdict).toBeUndefined()
    expect(plan.partitions.map(({ blocks }) => blocks[0])).toEqual([0, ...plan.balance.cuts])
    expect(plan.partitions.at(-1)!.blocks[1]).toBe(plan.blocks)
    expect(plan.balance).toMatchObject({ exact: true, bound: plan.balance.bottleneck })
    const [first, second, third] = plan.partitions
    expect(first!.inputs).toEqual([{ name: 'x0', type: 'float32', shape: ['rows', 16], from: 'graph' }])
    expect(second!.inputs).toEqual([{ name: first!.outputs[0]!.name, type: 'float32', shape: ['rows', 16], from: 0 }])
    expect(first!.outputs[0]).toMatchObject({ bytes: 64, to: [1], ofGraph: false })
    expect(third!.outputs).toEqual([
      { name: 'x6', type: 'float32', shape: ['rows', 16], bytes: 64, to: [], ofGraph: true },
    ])
    expect(await readdir(out)).toEqual(['partition-0.onnx', 'partition-1.onnx', 'partition-2.onnx'])
  })

  it('a second time gives the same bytes', async () => {
    const bytes = async (): Promise<Buffer[]> =>
      Promise.all((await readdir(out)).map((file) => readFile(join(out, file))))
    const made = layered(4)
    const plan = await splitModel(made)
    const first = await bytes()
    expect(await splitModel(made)).toEqual(plan)
    expect(await bytes()).toEqual(first)
  })

  it('cuts where it is told, and says what a wrong cut is', async () => {
    const plan = await splitModel(layered(4), { cuts: [1, 2, 5] })
    expect(plan.partitions.map(({ blocks }) => blocks)).toEqual([
      [0, 1],
      [1, 2],
      [2, 5],
      [5, 8],
    ])
    expect(plan.check).toMatchObject({ kind: 'equal' })
    const refused = async (request: Partial<SplitOnnxRequest>): Promise<string> => {
      const error: unknown = await splitModel(layered(4), request).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(OnnxCutsError)
      return (error as OnnxCutsError).why!
    }
    expect(await refused({ cuts: [8] })).toBe('no partition can begin with block 8: blocks are numbered from 0 to 7')
    expect(await refused({ cuts: [3, 3] })).toBe('3 does not rise after 3')
    expect(await refused({ parts: 2, cuts: [1] })).toBe('parts and cuts exclude each other')
    expect(await refused({ parts: 0 })).toBe('0 is no number of partitions from 1 to 1024')
  })

  it('makes fewer partitions where there are fewer places, and runs them unoptimised where only that gives enough', async () => {
    const fewer = await splitModel(layered(2), { parts: 9 })
    expect(fewer).toMatchObject({ verdict: 'fewer-parts', blocks: 4, partitions: { length: 4 } })
    expect(fewer.why).toBe(
      'of the 3 places between its nodes only 3 are ones where a cut is possible and offered, so it makes 4 partitions',
    )
    const fused = model({
      inputs: { x: ROWS },
      outputs: { y: ROWS },
      initializers: [weights('w'), filled('b', [16], 0.5)],
      nodes: [node('MatMul', ['x', 'w'], ['m']), node('Add', ['m', 'b'], ['a']), node('Add', ['a', 'x'], ['y'])],
    })
    expect(await splitModel(fused, { parts: 3 })).toMatchObject({
      optimization: 'off',
      partitions: { length: 3 },
      check: { kind: 'equal' },
    })
  })

  it('proves a file that the engine refuses against what was put right of it', async () => {
    const made = layered(3)
    const nodes = made.graph.nodes.map((each) => ({ ...each, name: 'same' }))
    const plan = await splitModel({ ...made, graph: { ...made.graph, nodes } })
    expect(plan).toMatchObject({ check: { kind: 'equal', cases: 2 }, partitions: { length: 2 } })
    expect(await readdir(out)).toEqual(['partition-0.onnx', 'partition-1.onnx'])
  })

  it('does not promise what it has not checked', async () => {
    const plan = await splitModel(layered(4), { check: false }, { check: () => Promise.reject(new Error('no check')) })
    expect(plan).toMatchObject({ optimization: 'off', check: null, partitions: { length: 2 } })
  })
})

describe('the proof', () => {
  it('goes down to a level at which the engine survives, in a process of its own', async () => {
    const branch = (op: string) => graph({ nodes: [node(op, ['r'], [`b${op}`])], outputs: { [`b${op}`]: ROWS } })
    const made = model({
      inputs: { x: ROWS, c: tensorType('bool', []) },
      outputs: { y: ROWS },
      initializers: [floats('s', [], [0.02]), tensor('z', 'uint8', [], Uint8Array.of(128)), int64s('shape', [-1, 16])],
      nodes: [
        node('QuantizeLinear', ['x', 's', 'z'], ['q']),
        node('DequantizeLinear', ['q', 's', 'z'], ['d']),
        node('Reshape', ['d', 'shape'], ['r']),
        node('If', ['c'], ['i'], { then_branch: branch('Neg'), else_branch: branch('Abs') }),
        node('Softmax', ['i'], ['y']),
      ],
    })
    const tasks: CheckTask[] = []
    const child = inChild()
    const needs: SplitOnnxNeeds = { check: (task, signal) => (tasks.push(task), child.check(task, signal)) }
    const plan = await splitModel(made, {}, needs)
    expect(plan).toMatchObject({ optimization: 'off', check: { kind: 'equal', cases: 2 } })
    expect(tasks.map(({ optimization }) => optimization)).toEqual(['all', 'extended', 'basic', 'off'])
    expect(await child.check(tasks[0]!)).toMatchObject({ kind: 'unchecked', why: expect.stringContaining('SIGABRT') })
  }, 60_000)

  it('moves on to other cuts where one changes bits, and goes down where all do', async () => {
    const made = layered(6)
    const at = async (
      bad: (task: CheckTask) => boolean,
    ): Promise<SplitPlan & { readonly tries: readonly CheckTask[] }> => {
      const tries: CheckTask[] = []
      // As if the engine had fused across what crosses: everything else is real.
      const check: SplitOnnxNeeds['check'] = async (task) => {
        tries.push(task)
        const result = await runCheck({ engine }, task)
        return bad(task) ? { kind: 'differs', output: 'x6', part: 1, case: 0 } : result
      }
      return { ...(await splitModel(made, { parts: 3 }, { check })), tries }
    }
    const crosses = (task: CheckTask, name: string): boolean => task.parts.some(({ inputs }) => inputs.includes(name))
    const first = await at(() => false)
    const [left] = first.balance.cuts
    const name = first.partitions[1]!.inputs[0]!.name
    const moved = await at((task) => crosses(task, name))
    expect(moved).toMatchObject({ optimization: 'all', check: { kind: 'equal' }, partitions: { length: 3 } })
    expect(moved.balance.cuts).not.toContain(left)
    // The chain with more and with less said of its sizes, each cut alone (the guilty one so too), and the next choice.
    expect(moved.tries.map(({ parts }) => parts.length)).toEqual([3, 3, 3, 2, 2, 2, 2, 3])
    const lowered = await at(({ optimization }) => optimization === 'all' || optimization === 'extended')
    expect(lowered).toMatchObject({
      optimization: 'basic',
      check: { kind: 'equal' },
      balance: { cuts: first.balance.cuts },
    })
    expect(await readdir(out)).toEqual(['partition-0.onnx', 'partition-1.onnx', 'partition-2.onnx'])
  })

  it('sends float16 as float32, since the engine does not round where the whole model does not', async () => {
    const half = tensorType('float16', ['rows', 16])
    const narrow = ({ name, dims, data }: TensorValue): TensorValue => {
      const values = new Float32Array(data.kind === 'bytes' ? data.bytes.buffer : new ArrayBuffer(0))
      return tensor(name, 'float16', dims, Uint16Array.from(values, halfBits))
    }
    const made = layered(6, half)
    const { initializers } = made.graph
    const narrowed = new Map([...initializers].map(([name, value]) => [name, narrow(value)]))
    const plan = await splitModel({ ...made, graph: { ...made.graph, initializers: narrowed } }, { parts: 3 })
    expect(plan).toMatchObject({ optimization: 'all', halfAsFloat: true, check: { kind: 'equal', cases: 2 } })
    const [sent] = plan.partitions[0]!.outputs
    expect(sent).toMatchObject({
      name: expect.stringMatching(/^x\d\.float32$|^m\d\.float32$/),
      type: 'float32',
      bytes: 64,
      to: [1],
    })
    expect(plan.partitions[1]!.inputs.map(({ name }) => name)).toEqual([sent!.name])
  })

  it('fails for a model that gives other results each time, and leaves nothing', async () => {
    const made = model({
      inputs: { x: ROWS },
      outputs: { y: ROWS },
      nodes: [
        node('RandomNormalLike', ['x'], ['r']),
        node('Softmax', ['r'], ['a']),
        node('RandomNormalLike', ['a'], ['s']),
        node('Add', ['a', 's'], ['y']),
      ],
    })
    const error: unknown = await splitModel(made).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(OnnxSplitDiffersError)
    expect((error as Error).message).toContain('the whole gives other results each time')
    expect(await readdir(out)).toEqual([])
  })

  it('fails for one whose parts draw the numbers of the whole, as they do in one process', async () => {
    const made = model({
      inputs: { x: ROWS },
      outputs: { y: ROWS },
      nodes: [
        node('RandomNormalLike', ['x'], ['r']),
        node('Add', ['x', 'r'], ['a']),
        node('Softmax', ['a'], ['b']),
        node('Tanh', ['b'], ['y']),
      ],
    })
    const error: unknown = await splitModel(made).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(OnnxSplitDiffersError)
    expect(await readdir(out)).toEqual([])
  })

  it('holds what the binding cannot pass against the tensors that it is made of', async () => {
    const sequence: ValueType = { kind: 'sequence', element: ROWS }
    const narrow = tensorType('bfloat16', ['rows', 16])
    const made = model({
      inputs: { x: narrow, s: sequence },
      outputs: { all: sequence, y: narrow },
      initializers: [weights('w'), int64s('first', [0], [])],
      nodes: [
        node('Cast', ['x'], ['f'], { to: 1 }),
        node('SequenceAt', ['s', 'first'], ['from']),
        node('MatMul', ['f', 'w'], ['m']),
        node('Softmax', ['m'], ['b']),
        node('Add', ['b', 'from'], ['c']),
        node('Cast', ['c'], ['y'], { to: 16 }),
        node('Exp', ['c'], ['e']),
        node('SequenceInsert', ['s', 'e'], ['all']),
      ],
    })
    const plan = await splitModel(made, { optimization: 'off' })
    expect(plan).toMatchObject({ partitions: { length: 2 }, check: { kind: 'equal', cases: 2 } })
    const ends = plan.partitions.flatMap(({ inputs, outputs }) => [
      ...inputs.filter(({ from }) => from === 'graph').map(({ name }) => name),
      ...outputs.filter(({ ofGraph }) => ofGraph).map(({ name }) => name),
    ])
    expect([...new Set(ends)].toSorted()).toEqual(['all', 's', 'x', 'y'])
    expect(await readdir(out)).toEqual(['partition-0.onnx', 'partition-1.onnx'])
    // What only goes into the sequence is changed in one part.
    const spoilt: SplitOnnxNeeds['check'] = async (task) => {
      for (const { path } of task.parts) {
        const part = await readModel(path)
        const nodes = part.graph.nodes.map((each) => (each.opType === 'Exp' ? { ...each, opType: 'Abs' } : each))
        await writeModel({ ...part, graph: { ...part.graph, nodes } }, path)
      }
      return runCheck({ engine }, task)
    }
    const cuts = [plan.partitions[1]!.blocks[0]]
    const error: unknown = await splitModel(made, { optimization: 'off', cuts }, { check: spoilt }).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(OnnxSplitDiffersError)
    expect((error as Error).message).toContain('"e.compared" of partition')
    expect(await readdir(out)).toEqual([])
  })

  it('looks for cuts that agree for so long, and then runs without optimisation', async () => {
    const seen: string[] = []
    const split = async (hours: number): Promise<SplitPlan> => {
      seen.length = 0
      let now = 0
      const check: SplitOnnxNeeds['check'] = async (task) => {
        seen.push(task.optimization)
        now += hours * 3_600_000
        const result = await runCheck({ engine }, task)
        return task.optimization === 'off' ? result : { kind: 'differs', output: 'x8', part: 1, case: 0 }
      }
      const clock = { ...systemClock(), now: () => now }
      return splitModel(layered(8), { parts: 3 }, { check, clock })
    }
    expect(await split(0)).toMatchObject({ optimization: 'off', check: { kind: 'equal' } })
    const patient = seen.length
    expect(new Set(seen)).toEqual(new Set(['all', 'extended', 'basic', 'off']))
    expect(await split(1)).toMatchObject({ optimization: 'off', check: { kind: 'equal' } })
    expect(seen).toEqual(['all', 'off'])
    expect(patient).toBeGreaterThan(10)
  })

  it('gives up on a model that takes all time or memory, at whatever level', async () => {
    const tasks: CheckTask[] = []
    const check: SplitOnnxNeeds['check'] = (task) => {
      tasks.push(task)
      return checkInChild({ clock: systemClock(), codeCache: join(directory, 'code'), silence: 1 }, task)
    }
    const plan = await splitModel(layered(4), {}, { check })
    expect(plan).toMatchObject({
      optimization: 'off',
      check: { kind: 'unchecked', why: 'the engine did not come to an end' },
    })
    expect(tasks).toHaveLength(1)
  })

  it('says so where nothing can be compared', async () => {
    const made = model({
      inputs: { x: ROWS, shape: tensorType('int64', [3]) },
      outputs: { y: tensorType('float32', [null, null, null]) },
      nodes: [node('Relu', ['x'], ['a']), node('Reshape', ['a', 'shape'], ['y'], { allowzero: 1 })],
    })
    const plan = await splitModel(made, { optimization: 'off' })
    expect(plan.check).toMatchObject({ kind: 'unchecked', why: expect.stringContaining('Reshape') })
  })
})

describe('real models', () => {
  it.skipIf(!has('yolox'))(
    'a detector (yolox_nano.onnx of ../shared/data) runs in three optimised parts',
    async () => {
      const plan = await splitOnnx(inChild(), pathOf('yolox'), { out, parts: 3 })
      expect(plan).toMatchObject({ optimization: 'all', partitions: { length: 3 }, check: { kind: 'equal', cases: 2 } })
      expect(plan.balance.crossingBytes).toBeLessThan(3_678_356)
    },
    60_000,
  )

  it.skipIf(!has('silero'))(
    'a model inside one If (silero_vad_v5.onnx) is better not split, and can be',
    async () => {
      const plan = await splitOnnx(here, pathOf('silero'), { out })
      expect(plan).toMatchObject({
        verdict: 'do-not-split',
        partitions: { length: 1 },
        check: { kind: 'equal', cases: 2 },
      })
      expect(plan.why).toContain('one If node')
      expect(await splitOnnx(here, pathOf('silero'), { out, cuts: [1, 2] })).toMatchObject({
        check: { kind: 'equal', cases: 2 },
      })
    },
    60_000,
  )

  /** A sweep over all of its places when WEFT_CUT_EVERY is 1. */
  const EVERY = Number(process.env['WEFT_CUT_EVERY'] ?? 0)
  it.skipIf(!has('gtcrn') || !has('yolox')).each([
    ['gtcrn', EVERY || 40],
    ['yolox', EVERY || 120],
  ] as const)(
    '%s gives the same bits at every %ith place with optimisations off',
    async (name, every) => {
      const made = inlineFunctions(checkModel(await readModel(pathOf(name))))
      const facts = factsOf(made)
      const blocks = blocksOf(made, facts, false)
      const runs = await whole(pathOf(name), made, 'off')
      expect(runs.cases).toHaveLength(2)
      for (let cut = 1; cut < blocks.starts.length - 1; cut += every) {
        const parts = partitionModel(blocks.structure, facts.types, assignParts(blocks, facts, [cut]))
        expect(await chain(directory, runs, parts), `cut ${cut}`).toMatchObject({ kind: 'equal' })
      }
    },
    600_000,
  )
})

/** Of a small number, rounded down. */
function halfBits(value: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer)
  const exponent = ((bits! >>> 23) & 0xff) - 112
  return exponent <= 0 ? 0 : ((bits! >>> 16) & 0x8000) | (exponent << 10) | ((bits! >>> 13) & 0x3ff)
}
