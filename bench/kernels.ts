/**
 * The matrix kernels that a stage may use, as packed and built by src/models/llama: milliseconds by rows, for the
 * shapes of SmolLM2-135M and TinyLlama-1.1B. All kernels of a shape are measured in turns within one run.
 *
 *   node bench/kernels.ts [--json] [--rounds 20] [--threads 1] [--shapes 576x1536,2048x5632] [--rows 2,4,16,64,128]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { matmul } from '../src/models/llama/nodes.ts'
import type { MatrixForm } from '../src/models/llama/matrix-forms.ts'
import { packMatrix } from '../src/models/llama/pack.ts'
import type { SourceMatrix } from '../src/models/llama/pack.ts'
import type { SourceType } from '../src/models/index.ts'
import { createOrtEngine, GraphBuilder, WeightFile } from '../src/onnx/index.ts'
import type { Graph } from '../src/onnx/index.ts'

interface Kernel {
  readonly name: string
  readonly source: SourceType
  readonly form: MatrixForm
}

const KERNELS: readonly Kernel[] = [
  { name: 'row int8', source: 'F32', form: 'rows' },
  { name: 'blocks, 4 bits', source: 'F32', form: 'q4' },
  { name: 'blocks, 4 bits, affine', source: 'Q4_1', form: 'auto' },
  { name: 'blocks, 8 bits', source: 'F32', form: 'blocks8' },
  { name: 'float32', source: 'F32', form: 'f32' },
]
/** What a float32 matrix of this many weights makes slow is left out. */
const FLOAT_LIMIT = 8e6

function source(type: SourceType, inputs: number, outputs: number): SourceMatrix {
  if (type === 'F32') {
    const weights = Float32Array.from({ length: inputs * outputs }, (_, at) => Math.sin(at * 12.9898) * 0.1)
    return { type, bytes: new Uint8Array(weights.buffer), inputs, outputs }
  }
  // Q4_1: 20 bytes a block of 32; bytes below 64 in the place of a float16 scale are small numbers
  const bytes = Uint8Array.from({ length: ((inputs * outputs) / 32) * 20 }, (_, at) => (at * 31) & 63)
  return { type, bytes, inputs, outputs }
}

async function load(folder: string, kernel: Kernel, inputs: number, outputs: number, threads: number): Promise<Graph> {
  const name = `${kernel.source}-${kernel.form}-${inputs}-${outputs}`
  const file = await WeightFile.create(join(folder, `${name}.weights`), `${name}.weights`)
  const matrix = await packMatrix(file, [source(kernel.source, inputs, outputs)], kernel.form)
  await file.close()
  const graph = new GraphBuilder()
  const y = matmul(graph, 'matrix', graph.input('x', 'f32', ['rows', inputs]), matrix)
  graph.node('Identity', [y], {}, { outputs: ['y'] })
  graph.output('y', 'f32', ['rows', outputs])
  const path = join(folder, `${name}.onnx`)
  await writeFile(path, graph.finish(name))
  return createOrtEngine().load(path, { threads, spin: threads > 1 })
}

/** Best milliseconds of a run, by kernel and rows. */
async function measure(
  kernels: readonly (readonly [Kernel, Graph])[],
  inputs: number,
  rows: readonly number[],
  rounds: number,
): Promise<Map<string, number>> {
  const best = new Map<string, number>()
  for (let round = 0; round < rounds; round++) {
    for (const count of rows) {
      const data = Float32Array.from({ length: count * inputs }, (_, at) => Math.sin(at * 78.233))
      const x = { type: 'float32', dims: [count, inputs], data } as const
      for (const [kernel, graph] of kernels) {
        // the first run of each brings the weights back into the caches; of the others the least disturbed one counts
        await graph.run({ x }, ['y'])
        const start = performance.now()
        await graph.run({ x }, ['y'])
        const ms = performance.now() - start
        const key = `${kernel.name} ${count}`
        if (ms < (best.get(key) ?? Infinity)) best.set(key, ms)
      }
    }
  }
  return best
}

interface Row {
  readonly shape: string
  readonly kernel: string
  readonly ms: readonly number[]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '20' },
      threads: { type: 'string', default: '1' },
      shapes: { type: 'string', default: '576x1536,1536x576,576x960,576x49152,2048x5632' },
      rows: { type: 'string', default: '2,4,16,64,128' },
    },
  })
  const counts = values.rows.split(',').map(Number)
  const threads = Number(values.threads)
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'))
  const results: Row[] = []
  try {
    for (const shape of values.shapes.split(',')) {
      const [inputs, outputs] = shape.split('x').map(Number) as [number, number]
      const kernels: (readonly [Kernel, Graph])[] = []
      for (const kernel of KERNELS) {
        if (kernel.form === 'f32' && inputs * outputs > FLOAT_LIMIT) continue
        kernels.push([kernel, await load(folder, kernel, inputs, outputs, threads)])
      }
      const best = await measure(kernels, inputs, counts, Number(values.rounds))
      for (const [{ name }, graph] of kernels) {
        results.push({ shape, kernel: name, ms: counts.map((count) => best.get(`${name} ${count}`)!) })
        await graph.release()
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  report(results, counts, threads, values.json)
}

function report(results: readonly Row[], counts: readonly number[], threads: number, json: boolean): void {
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    const document = { schema: 'weft.bench.kernels/1', machine, threads, unit: 'ms', rows: counts, results }
    process.stdout.write(`${JSON.stringify(document)}\n`)
    return
  }
  const cells = (row: readonly string[]): string => `| ${row.join(' | ')} |`
  process.stdout.write(`Milliseconds by rows in a run, ${threads} threads, best of the rounds. ${machine}\n\n`)
  process.stdout.write(`${cells(['K x N', 'kernel', ...counts.map(String)])}\n`)
  process.stdout.write(`${cells(Array.from({ length: counts.length + 2 }, () => '---'))}\n`)
  for (const { shape, kernel, ms } of results) {
    process.stdout.write(`${cells([shape, kernel, ...ms.map((value) => value.toFixed(3))])}\n`)
  }
}

await main()
