/**
 * The engine behind one interface. All that knows onnxruntime-node stands in this file, so that a browser peer is a
 * second implementation and not a fork.
 */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename } from 'node:path'
import './quiet.ts'
import * as ort from 'onnxruntime-node'
import { EngineError } from './errors.ts'
import { kernelIdOf } from './kernel-id.ts'

/** The arrays that hold each element type; `float16` as its bits, `bool` as bytes of 0 and 1. */
export const TENSOR_ARRAYS = {
  float32: Float32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  float16: Uint16Array,
  float64: Float64Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} as const

/** Named tensors in and out. `data` is a view; inputs are read in place, outputs are the caller's. */
export interface Tensor {
  readonly type: keyof typeof TENSOR_ARRAYS
  readonly dims: readonly number[]
  readonly data:
    | Float32Array
    | Float64Array
    | Uint8Array
    | Int8Array
    | Uint16Array
    | Int16Array
    | Uint32Array
    | Int32Array
    | BigInt64Array
    | BigUint64Array
}

export interface StringTensor {
  readonly type: 'string'
  readonly dims: readonly number[]
  readonly data: readonly string[]
}

/** All that can go in or out: no other types of ONNX pass the binding (1.30). */
export type AnyTensor = Tensor | StringTensor

export interface Graph {
  /** Blocks the calling thread while it computes. @throws EngineError */
  run(feeds: Readonly<Record<string, Tensor>>, fetches: readonly string[]): Promise<Readonly<Record<string, Tensor>>>
  /** The same for graphs of any kind, strings too. @throws EngineError */
  runAny(
    feeds: Readonly<Record<string, AnyTensor>>,
    fetches: readonly string[],
  ): Promise<Readonly<Record<string, AnyTensor>>>
  release(): Promise<void>
}

/** What the engine's optimizer may do. `all` also changes the layout of convolutions to fit the processor. */
export const OPTIMIZATION_LEVELS = ['off', 'basic', 'extended', 'all'] as const
export type Optimization = (typeof OPTIMIZATION_LEVELS)[number]

export interface LoadOptions {
  readonly threads: number
  /** Idle threads of a run spin for work until it ends: only where nothing else wants the cores. */
  readonly spin?: boolean
  /** @default 'off': what a cut makes of a graph must not decide how it is fused */
  readonly optimization?: Optimization
  /** Session configuration entries of ONNX Runtime, for experiments. */
  readonly extra?: Readonly<Record<string, string>>
  /**
   * Writes the graph again to this path, and to `<path>.data` its weights with what the kernels make of them. Readers
   * must re-lay the parts (prepacked.ts): loaded as it stands, the file gives wrong results without a word.
   */
  readonly savePrepacked?: string
}

/** When a row of GroupQueryAttention has the same bits whatever is before, beside and behind it in its run. */
export interface AttentionRule {
  /** The fewest rows of a session in a run. */
  readonly rows: number
  /** What the length of the session after the run must be a multiple of. */
  readonly multiple: number
}

export interface Engine {
  /** Loads a graph by path, so that its external data is mapped and not copied. */
  load(path: string, options: LoadOptions): Promise<Graph>
  /** Equal ids give equal bits for equal inputs. */
  readonly kernelId: string
  readonly attention: AttentionRule
}

type OrtTensor = ort.Tensor

/**
 * Of 1.30. x64 (measured, on emulated AVX2 too): one row alone takes another path. arm64 (measured on an emulated
 * Neoverse N1): the product with V takes what is over of a length that is no multiple of 4 in another order.
 */
const ATTENTION: Readonly<Record<string, AttentionRule>> = { x64: { rows: 2, multiple: 1 } }
const CAREFUL: AttentionRule = { rows: 2, multiple: 4 }

/** ONNX Runtime's CPU kernels. Its optimizer is off unless asked for: our own graphs are fused by hand. */
export function createOrtEngine(): Engine {
  return {
    kernelId: kernelId(),
    attention: ATTENTION[process.arch] ?? CAREFUL,
    load: async (path, options) => {
      const session = await ort.InferenceSession.create(path, sessionOptions(options)).catch((error: unknown) => {
        throw new EngineError('load', path, error)
      })
      return {
        run: (feeds, fetches) => run(session, path, feeds, fetches) as Promise<Readonly<Record<string, Tensor>>>,
        runAny: (feeds, fetches) => run(session, path, feeds, fetches),
        release: () => session.release(),
      }
    },
  }
}

const ORT_LEVELS = { off: 'disabled', basic: 'basic', extended: 'extended', all: 'all' } as const

function sessionOptions(options: LoadOptions): ort.InferenceSession.SessionOptions {
  const saved = options.savePrepacked
  return {
    executionProviders: ['cpu'],
    graphOptimizationLevel: ORT_LEVELS[options.optimization ?? 'off'],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Its arena grows by doubling, and its patterns keep a block for each shape of a run: together 400 MB more than the
    // system's allocator for 16 sessions of a 135M model, and no faster (bench/load.ts). One without the other is slow.
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(saved === undefined ? {} : { optimizedModelFilePath: saved }),
    extra: nested({
      'session.intra_op.allow_spinning': options.spin === true ? '1' : '0',
      ...(options.spin === true ? { 'session.force_spinning_stop': '1' } : {}),
      ...(saved === undefined ? {} : savedPrepacked(saved)),
      ...options.extra,
    }),
  }
}

function savedPrepacked(path: string): Record<string, string> {
  return {
    'session.save_external_prepacked_constant_initializers': '1',
    'session.optimized_model_external_initializers_file_name': `${basename(path)}.data`,
    // Only what lies in the file can be pre-packed in it, however small.
    'session.optimized_model_external_initializers_min_size_in_bytes': '0',
  }
}

/** The binding takes configuration entries as nested objects: `a.b.c` is `{a: {b: {c}}}`. */
function nested(entries: Readonly<Record<string, string>>): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(entries)) {
    const path = key.split('.')
    const last = path.pop()!
    let level = root
    for (const part of path) level = (level[part] ??= {}) as Record<string, unknown>
    level[last] = value
  }
  return root
}

async function run(
  session: ort.InferenceSession,
  path: string,
  feeds: Readonly<Record<string, AnyTensor>>,
  fetches: readonly string[],
): Promise<Readonly<Record<string, AnyTensor>>> {
  const inputs = named<OrtTensor>()
  for (const [name, tensor] of Object.entries(feeds)) inputs[name] = toOrt(tensor)
  const isPlain = !Object.hasOwn(inputs, PROTOTYPE) && !fetches.includes(PROTOTYPE)
  const running = isPlain ? session.run(inputs, fetches as string[]) : runUnchecked(session, inputs, fetches)
  const results = await running.catch((error: unknown) => {
    throw new EngineError('run', path, error, shapes(feeds))
  })
  const outputs = named<AnyTensor>()
  for (const name of fetches) outputs[name] = fromOrt(results[name]!)
  return outputs
}

/** A name like any other in a graph. In an object that has a prototype, what is set under it becomes the prototype. */
const PROTOTYPE = '__proto__'

function named<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>
}

/**
 * Past `session.run`, which puts what is asked for into an object with a prototype. So does what it calls with the
 * results, where a tensor of that name is found as the prototype then.
 */
async function runUnchecked(
  session: ort.InferenceSession,
  inputs: Record<string, OrtTensor>,
  fetches: readonly string[],
): Promise<Record<string, OrtTensor>> {
  const { handler } = session as unknown as {
    readonly handler: Pick<ort.InferenceSession, 'run'>
  }
  const wanted = named<null>()
  for (const name of fetches) wanted[name] = null
  const made = await handler.run(inputs, wanted, {})
  const results = named<OrtTensor>()
  for (const name of fetches)
    results[name] = (name === PROTOTYPE ? Object.getPrototypeOf(made) : made[name]) as OrtTensor
  return results
}

/**
 * The binding reads these fields and no more. A real ort.Tensor would hold float16 as a Float16Array, whose length
 * the binding (1.30) takes for 0; the same bits as Uint16Array pass. It also costs more for 60 and more inputs a run.
 */
function toOrt(tensor: AnyTensor): OrtTensor {
  return {
    type: tensor.type,
    dims: tensor.dims,
    data: tensor.data,
    location: 'cpu',
    size: tensor.data.length,
  } as unknown as OrtTensor
}

function fromOrt(tensor: OrtTensor): AnyTensor {
  const data = tensor.data as Float32Array
  const type = tensor.type as Tensor['type']
  if (type !== 'float16') return { type, dims: tensor.dims, data }
  return { type, dims: tensor.dims, data: new Uint16Array(data.buffer, data.byteOffset, data.length) }
}

/**
 * Frees what a run gave, at once; its array is empty from here on. Left to the collector of garbage it counts as memory of the
 * program's own, and a step that gives some megabytes makes it walk all objects every few steps: a fifth of a step's time (measured).
 */
export function discardOutput({ data }: Tensor): void {
  ;(data.buffer as ArrayBuffer).transfer(0)
}

function shapes(feeds: Readonly<Record<string, AnyTensor>>): string {
  const known = Object.entries(feeds).slice(0, 8)
  return known.map(([name, tensor]) => `${name}: ${tensor.type}[${tensor.dims.join(',')}]`).join(', ')
}

function kernelId(): string {
  const machine = { architecture: process.arch, processor: cpus()[0]?.model ?? 'unknown' }
  return kernelIdOf({ ...machine, version: ort.env.versions.node ?? 'unknown', cpuinfo: cpuinfo() })
}

/** What Linux says about the processor; nothing elsewhere. */
function cpuinfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return ''
  }
}
