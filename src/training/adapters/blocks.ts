/**
 * Frozen blocks of a model with adapters beside them: rows go forward, their gradient goes back. Of a run only the inputs of the layers
 * are kept; what a layer makes inside is computed again on the way back. The weights are there once, whoever trains what
 * on them.
 */
import { adapterInput, FrozenLayer, frozenHead } from '../../models/index.ts'
import type { AdapterForm, ModelManifest, TrainBlock } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { UPSTREAM } from '../graph/pullback.ts'
import { OUTPUT } from '../graph/names.ts'
import type { SessionNeeds } from '../loop/sessions.ts'
import type { Tensors } from '../loop/stepper.ts'
import { Compiler, HEAD_INPUT } from './compiled.ts'
import type { CompiledHead, CompiledLayer } from './compiled.ts'
import { parameterName, parametersOf } from './form.ts'

/** Elements of logits that are in memory at once, in several copies. */
const MOST_LOGITS = 1 << 23

export interface FrozenNeeds extends SessionNeeds {
  readonly store: BlobStore
  readonly manifest: ModelManifest
}

export class FrozenBlocks {
  readonly #needs: FrozenNeeds
  readonly #compiler: Compiler
  readonly #layers = new Map<number, Promise<FrozenLayer>>()
  #head: Promise<{ readonly block: TrainBlock; readonly compiled: CompiledHead }> | undefined

  constructor(needs: FrozenNeeds) {
    this.#needs = needs
    this.#compiler = new Compiler(needs)
  }

  /** @throws the errors of store and engine */
  async open(from: number, to: number, length: number, form: AdapterForm): Promise<BlockSession> {
    const { shape, blocks } = this.#needs.manifest
    const layers: OpenLayer[] = []
    for (let block = Math.max(from, 1); block < Math.min(to, blocks.length - 1); block++) {
      const { graph, feeds } = (await this.#layer(block)).graph(length, form)
      const inputs = form.parts.flatMap((part) => [adapterInput(part, 'a'), adapterInput(part, 'b')])
      layers.push({
        block,
        feeds: Object.fromEntries(feeds),
        compiled: await this.#compiler.layer(graph, shape.width, inputs),
      })
    }
    const own = parametersOf(shape, form, from, to)
    return new BlockSession({ layers, form, own, head: to === blocks.length ? await this.#loadedHead() : undefined })
  }

  close(): Promise<void> {
    return this.#compiler.close()
  }

  #layer(block: number): Promise<FrozenLayer> {
    const { store, manifest } = this.#needs
    const known = this.#layers.get(block)
    if (known !== undefined) return known
    const loading = FrozenLayer.load(store, manifest.shape, manifest.blocks[block]!, block - 1)
    this.#layers.set(block, loading)
    loading.catch(() => this.#layers.delete(block))
    return loading
  }

  async #loadedHead(): Promise<BlockHead> {
    const { store, manifest } = this.#needs
    this.#head ??= frozenHead(store, manifest.shape, manifest.blocks.at(-1)!).then(async (block) => ({
      block,
      compiled: await this.#compiler.head(block.graph),
    }))
    const { block, compiled } = await this.#head
    return { feeds: Object.fromEntries(block.feeds), compiled, vocabulary: manifest.shape.vocabulary }
  }
}

interface OpenLayer {
  readonly block: number
  readonly feeds: Tensors
  readonly compiled: CompiledLayer
}

interface BlockHead {
  readonly feeds: Tensors
  readonly compiled: CompiledHead
  readonly vocabulary: number
}

interface BlockSessionInit {
  readonly layers: readonly OpenLayer[]
  readonly form: AdapterForm
  readonly own: ReturnType<typeof parametersOf>
  readonly head: BlockHead | undefined
}

/** Rows of a head with what follows each: -1 where nothing is asked. */
export interface HeadRows {
  readonly rows: Float32Array
  readonly targets: Int32Array
  /** Of each row that counts. */
  readonly weight: number
}

/** One adapter's runs over a range of blocks. */
export class BlockSession {
  readonly #init: BlockSessionInit
  #parameters: Tensors = {}
  #sums = new Map<string, Float32Array>()
  /** Inputs of the layers, by micro-batch. */
  readonly #kept = new Map<number, Tensor[]>()

  constructor(init: BlockSessionInit) {
    this.#init = init
  }

  /** A step begins: what was kept of one before is dropped. */
  begin(parameters: Tensors): void {
    this.#parameters = parameters
    this.#kept.clear()
    this.#sums = new Map(this.#init.own.map(({ name, dims }) => [name, new Float32Array(dims[0] * dims[1])]))
  }

  /** @param keep for the way back. @returns what leaves the last layer, [rows, width] */
  async forward(micro: number, x: Tensor, keep: boolean): Promise<Tensor> {
    const kept: Tensor[] = []
    let rows = x
    for (const layer of this.#init.layers) {
      if (keep) kept.push(rows)
      const feeds = { ...layer.feeds, ...this.#adapters(layer.block), x: rows }
      rows = (await layer.compiled.forward.run(feeds))['y']!
    }
    if (keep) this.#kept.set(micro, kept)
    return rows
  }

  /** Micro-batches go back in their order: their gradients are added up as they come. @returns the gradient of `x` */
  async backward(micro: number, upstream: Tensor): Promise<Tensor> {
    const kept = this.#kept.get(micro) ?? []
    this.#kept.delete(micro)
    let gradient = upstream
    for (const layer of this.#init.layers.toReversed()) {
      const { backward, gradients } = layer.compiled
      const feeds = { ...layer.feeds, ...this.#adapters(layer.block), x: kept.pop()!, [UPSTREAM]: gradient }
      const results = await backward.run(feeds)
      this.#add(layer.block, (input) => results[gradients.get(input)!]!)
      gradient = results[gradients.get('x')!]!
    }
    return gradient
  }

  /** @returns the loss, and the gradient of the rows where it is wanted */
  async loss(
    head: HeadRows,
    wanted: boolean,
  ): Promise<{ readonly loss: number; readonly gradient: Tensor | undefined }> {
    const { feeds, compiled, vocabulary } = this.#init.head!
    const count = head.targets.length
    const width = head.rows.length / count
    const piece = Math.max(1, Math.floor(MOST_LOGITS / vocabulary))
    const gradient = wanted ? new Float32Array(head.rows.length) : undefined
    let loss = 0
    for (let from = 0; from < count; from += piece) {
      const end = Math.min(count, from + piece)
      const results = await (wanted ? compiled.both : compiled.loss).run({
        ...feeds,
        x: { type: 'float32', dims: [end - from, width], data: head.rows.subarray(from * width, end * width) },
        ...headFeeds(head.targets.subarray(from, end), head.weight),
      })
      loss += Number(results[OUTPUT.loss]!.data[0])
      gradient?.set(results[compiled.gradient]!.data as Float32Array, from * width)
    }
    const made: Tensor | undefined = gradient && { type: 'float32', dims: [count, width], data: gradient }
    return { loss, gradient: made }
  }

  /** Of the parameters of this range, added up over the micro-batches of the step. */
  gradients(): Tensors {
    const entries = this.#init.own.map(({ name, dims }): [string, Tensor] => [
      name,
      { type: 'float32', dims, data: this.#sums.get(name)! },
    ])
    return Object.fromEntries(entries)
  }

  #adapters(block: number): Tensors {
    const { parts } = this.#init.form
    const entries = parts.flatMap((part) =>
      (['a', 'b'] as const).map((factor) => [
        adapterInput(part, factor),
        this.#parameters[parameterName(block, part, factor)]!,
      ]),
    )
    return Object.fromEntries(entries) as Tensors
  }

  #add(block: number, gradientOf: (input: string) => Tensor): void {
    for (const part of this.#init.form.parts) {
      for (const factor of ['a', 'b'] as const) {
        const sum = this.#sums.get(parameterName(block, part, factor))!
        const own = gradientOf(adapterInput(part, factor)).data as Float32Array
        for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + own[at]!
      }
    }
  }
}

function headFeeds(targets: Int32Array, weight: number): Tensors {
  const dims = [targets.length, 1]
  return {
    [HEAD_INPUT.target]: { type: 'int64', dims, data: BigInt64Array.from(targets, (id) => BigInt(Math.max(0, id))) },
    [HEAD_INPUT.weight]: { type: 'float32', dims, data: Float32Array.from(targets, (id) => (id < 0 ? 0 : weight)) },
  }
}
