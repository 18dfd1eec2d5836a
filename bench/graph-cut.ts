/**
 * Cutting graphs: inference, the order of nodes and the blocks, the choice of partitions, and the parts as models, in
 * milliseconds, for made-up transformers of 2,000 nodes and more, or for an ONNX file. The best of the rounds counts.
 *
 *   node bench/graph-cut.ts [MODEL.onnx] [--parts 8] [--rounds 5] [--json]
 */
import { cpus, loadavg } from 'node:os'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { assignParts, blocksOf, choosePartitions, factsOf, partitionModel } from '../src/onnx/cut/index.ts'
import { checkModel, inlineFunctions, readModel } from '../src/onnx/ir/index.ts'
import type { Model, Node, TensorValue } from '../src/onnx/ir/index.ts'
import { systemClock } from '../src/util/index.ts'
import { int64s, model, node, tensorType } from '../test/onnx/cut/support/build.ts'

const WIDTH = 512
const HEADS = 8
const clock = systemClock()

/** Layers as exporters write them: 36 nodes each, normalization and GELU spelled out, weights of which no byte exists. */
function transformer(layers: number): Model {
  const nodes: Node[] = []
  const initializers: TensorValue[] = [int64s('heads', [0, 0, HEADS, WIDTH / HEADS]), int64s('flat', [0, 0, WIDTH])]
  const weight = (name: string, dims: readonly number[]): string => {
    const length = 4 * dims.reduce((product, dim) => product * dim, 1)
    initializers.push({ name, type: 'float32', dims, data: { kind: 'range', path: 'none', offset: 0, length } })
    return name
  }
  let next = 0
  const add = (opType: string, reads: readonly string[], attributes = {}): string => {
    const name = `v${next++}`
    nodes.push(node(opType, reads, [name], attributes))
    return name
  }
  const scalar = weight('scalar', [])
  const linear = (x: string, layer: number, name: string, from: number, to: number): string => {
    const product = add('MatMul', [x, weight(`${layer}.${name}.weight`, [from, to])])
    return add('Add', [product, weight(`${layer}.${name}.bias`, [to])])
  }
  const normalize = (x: string, layer: number, name: string): string => {
    const centred = add('Sub', [x, add('ReduceMean', [x], { axes: [-1] })])
    const variance = add('ReduceMean', [add('Pow', [centred, scalar])], { axes: [-1] })
    const unit = add('Div', [centred, add('Sqrt', [add('Add', [variance, scalar])])])
    const scaled = add('Mul', [unit, weight(`${layer}.${name}.gamma`, [WIDTH])])
    return add('Add', [scaled, weight(`${layer}.${name}.beta`, [WIDTH])])
  }
  let x = 'x'
  for (let layer = 0; layer < layers; layer++) {
    const normal = normalize(x, layer, 'norm1')
    const [q, k, v] = ['q', 'k', 'v'].map((name) => {
      const split = add('Reshape', [linear(normal, layer, name, WIDTH, WIDTH), 'heads'])
      return add('Transpose', [split], { perm: name === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] })
    })
    const attention = add('MatMul', [add('Softmax', [add('MatMul', [q!, k!])], { axis: -1 }), v!])
    const joined = add('Reshape', [add('Transpose', [attention], { perm: [0, 2, 1, 3] }), 'flat'])
    x = add('Add', [x, linear(joined, layer, 'o', WIDTH, WIDTH)])
    const wide = linear(normalize(x, layer, 'norm2'), layer, 'up', WIDTH, 4 * WIDTH)
    const gate = add('Add', [add('Erf', [add('Div', [wide, scalar])]), scalar])
    x = add('Add', [x, linear(add('Mul', [wide, gate]), layer, 'down', 4 * WIDTH, WIDTH)])
  }
  const type = tensorType('float32', ['batch', 'length', WIDTH])
  return model({ nodes, inputs: { x: type }, outputs: { [x]: type }, initializers }, { opsets: new Map([['', 17]]) })
}

const STEPS = ['check', 'infer', 'blocks', 'choose', 'parts'] as const
type Times = Record<(typeof STEPS)[number] | 'all', number>

interface Row {
  readonly graph: string
  readonly nodes: number
  readonly offered: number
  readonly parts: number
  readonly exact: boolean
  readonly best: Times
}

function measure(graph: string, made: Model, parts: number, rounds: number): Row {
  const best: Times = {
    check: Infinity,
    infer: Infinity,
    blocks: Infinity,
    choose: Infinity,
    parts: Infinity,
    all: Infinity,
  }
  let row: Omit<Row, 'best'> | null = null
  for (let round = 0; round < rounds; round++) {
    const marks = [clock.now()]
    const mark = <T>(value: T): T => (marks.push(clock.now()), value)
    const checked = mark(checkModel(made))
    const facts = mark(factsOf(checked))
    const blocks = mark(blocksOf(checked, facts, true))
    const chosen = mark(choosePartitions(blocks, { parts }))
    if (chosen === null) throw new Error(`${graph} has no ${parts} partitions`)
    const assigned = assignParts(blocks, facts, chosen.cuts)
    mark(partitionModel(blocks.structure, facts.types, assigned))
    for (const [index, step] of STEPS.entries()) best[step] = Math.min(best[step], marks[index + 1]! - marks[index]!)
    best.all = Math.min(best.all, marks.at(-1)! - marks[0]!)
    row = { graph, nodes: made.graph.nodes.length, offered: blocks.positions.offered, parts, exact: chosen.exact }
  }
  return { ...row!, best }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      parts: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  })
  const [parts, rounds] = [Number(values.parts), Number(values.rounds)]
  const graphs: [string, Model][] = []
  for (const path of positionals) graphs.push([basename(path), inlineFunctions(await readModel(path))])
  if (graphs.length === 0) for (const layers of [12, 48, 240]) graphs.push([`${layers} layers`, transformer(layers)])
  const rows = graphs.map(([name, made]) => measure(name, made, parts, rounds))
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (values.json) {
    out(JSON.stringify({ schema: 'weft.bench.graph-cut/1', machine, unit: 'ms', results: rows }))
    return
  }
  out(`Cut into ${parts} partitions, milliseconds, best of ${rounds}. ${machine}`)
  out('')
  out('| graph | nodes | cuts offered | check | infer | blocks | choose | parts | all | exact |')
  out('|---|---|---|---|---|---|---|---|---|---|')
  for (const { graph, nodes, offered, exact, best } of rows) {
    const times = [...STEPS, 'all' as const].map((step) => best[step].toFixed(best[step] < 10 ? 1 : 0))
    out(`| ${graph} | ${nodes} | ${offered} | ${times.join(' | ')} | ${exact ? 'yes' : 'no'} |`)
  }
}

await main()
