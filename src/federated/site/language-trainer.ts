/**
 * A site's text, and an adapter beside a language model that this site holds itself: its blocks run here, whatever a placement says, since
 * what leaves them is of the text.
 */
import { mkdir } from 'node:fs/promises'
import { ADAPTER_FILES, openEmbedding, writeAdapter } from '../../models/index.ts'
import type { Embedding } from '../../models/index.ts'
import {
  adapterSpec,
  AdapterStepper,
  asAdapter,
  batchesOf,
  batchRows,
  checkPlan,
  checkTextRows,
  epochOrder,
  evaluate,
  feedsFor,
  firstAdapter,
  formOf,
  Gauge,
  loadTokenExamples,
} from '../../training/index.ts'
import type {
  AdapterLine,
  AdapterSpec,
  BaseModel,
  Examples,
  Metrics,
  Tensors,
  TrainPlan,
} from '../../training/index.ts'
import { BaseModelError, FedPlanError, SiteRecordsError, TrainerError } from '../plan/errors.ts'
import { baseOf } from '../plan/language.ts'
import type { SiteData } from '../plan/read-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import { dataSpecOf, trainPlanOf } from '../plan/train-plan.ts'
import { corrected, zeroed } from './local-trainer.ts'
import type { LocalJob, LocalResult, LocalTrainer, TrainerNeeds } from './local-trainer.ts'
import { flatOf, tensorsOf } from './parameters.ts'
import type { ParameterShape } from './parameters.ts'
import type { ColumnMoments } from './statistics.ts'

/** Bytes of windows in memory. */
const MEMORY = 64 << 20
/** Windows for training that a round's loss is told from: all of them would cost as much as the round. */
const TOLD = 32

interface Opened {
  readonly stepper: AdapterStepper
  readonly line: AdapterLine
  readonly embedding: Embedding
}

export class LanguageTrainer implements LocalTrainer {
  readonly site: string
  readonly #needs: TrainerNeeds
  readonly #fed: FedPlan
  readonly #plan: TrainPlan
  readonly #spec: LoraSpec
  readonly #base: BaseModel
  readonly #examples: Examples
  /** What the seed draws, the same at every site. */
  readonly #first: Tensors
  readonly #shapes: readonly ParameterShape[]
  #opened: Promise<Opened> | undefined
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(needs: TrainerNeeds, fed: FedPlan, plan: TrainPlan, base: BaseModel, own: Own) {
    this.#needs = needs
    this.#fed = fed
    this.#plan = plan
    this.#base = base
    this.site = own.site
    this.#spec = own.spec
    this.#examples = own.examples
    this.#first = firstAdapter(base.manifest.shape, formOf(own.spec), plan.seed ?? 0)
    const isShared = (name: string): boolean => fed.adapter?.train !== 'b' || name.endsWith('/b')
    this.#shapes = Object.entries(this.#first).flatMap(([name, { dims }]) => (isShared(name) ? [{ name, dims }] : []))
  }

  /** @throws BaseModelError: this site holds another model, or none; what reading texts throws; SiteRecordsError */
  static async open(
    needs: TrainerNeeds,
    fed: FedPlan,
    { data, folder, path }: SiteData,
    signal?: AbortSignal,
  ): Promise<LanguageTrainer> {
    if (data.kind !== 'text') throw new FedPlanError(path, 'kind', `is "${data.kind}", and the plan takes a text`)
    const base = await heldBase(needs, fed, data.site, signal)
    const plan = checkPlan(JSON.parse(JSON.stringify(trainPlanOf(fed, dataSpecOf(fed, data)))), path)
    const spec = adapterSpec(plan, path) as LoraSpec
    checkTextRows(plan, spec, base.manifest, path)
    const load = { folder, scratch: needs.folder, memory: MEMORY, seed: plan.seed ?? 0, planPath: path }
    const examples = await loadTokenExamples(plan, base.tokenizer, load, signal)
    if (examples.parts.train.index.length === 0) {
      await examples.close()
      throw new SiteRecordsError(data.site, `it has no window of ${baseOf(fed).length} tokens for training`)
    }
    return new LanguageTrainer(needs, fed, plan, base, { site: data.site, spec, examples })
  }

  get records(): number {
    return this.#examples.parts.train.index.length
  }

  get testRecords(): number {
    return this.#examples.parts.test.index.length
  }

  get initial(): Float32Array {
    return flatOf(this.#shapes, this.#first)
  }

  /** Texts have no columns. */
  moments(): ColumnMoments[] {
    return []
  }

  eachTrainingRow(): Promise<void> {
    return Promise.resolve()
  }

  fit(): Promise<void> {
    return Promise.resolve()
  }

  shapes(): readonly ParameterShape[] {
    return this.#shapes
  }

  train(job: LocalJob, signal?: AbortSignal): Promise<LocalResult> {
    return this.#alone(() => this.#train(job, signal))
  }

  async #train(job: LocalJob, signal?: AbortSignal): Promise<LocalResult> {
    const { stepper } = await this.#open()
    const plan = this.#plan
    const part = this.#examples.parts.train
    const rate = plan.optimizer.lr
    stepper.parameters = this.#all(job.start)
    stepper.state = zeroed(stepper.state)
    const perEpoch = batchesOf(plan, part.index.length)
    const steps = job.steps ?? this.#fed.local.steps ?? (this.#fed.local.epochs ?? 1) * perEpoch
    for (let step = 0; step < steps; step++) {
      const at = job.round * steps + step
      const order = epochOrder(plan, part, plan.seed ?? 0, Math.floor(at / perEpoch))
      const rows = batchRows(plan, order, at % perEpoch)
      const before = flatOf(this.#shapes, stepper.parameters)
      const loss = await stepper.step(await this.#windows(rows, signal), { step, rate })
      if (!Number.isFinite(loss)) throw new TrainerError(this.site, `the loss of step ${step + 1} is ${loss}`)
      const made = flatOf(this.#shapes, stepper.parameters)
      const isPlain = job.proximal === undefined && job.correction === undefined
      stepper.parameters = this.#all(isPlain ? made : corrected(made, before, rate, job))
    }
    return { weights: flatOf(this.#shapes, stepper.parameters), steps }
  }

  /** A window is a record. */
  clippedSum(weights: Float32Array, places: Uint32Array, clip: number): Promise<Float64Array> {
    return this.#alone(() => this.#clippedSum(weights, places, clip))
  }

  async #clippedSum(weights: Float32Array, places: Uint32Array, clip: number): Promise<Float64Array> {
    const sum = new Float64Array(weights.length)
    const { stepper } = await this.#open()
    const { index } = this.#examples.parts.train
    stepper.parameters = this.#all(weights)
    for (const place of places) {
      const { gradients } = await stepper.gradients(await this.#windows(Uint32Array.of(index[place]!)))
      const gradient = flatOf(this.#shapes, gradients)
      const norm = Math.sqrt(gradient.reduce((total, value) => total + value * value, 0))
      if (!Number.isFinite(norm))
        throw new TrainerError(this.site, `the gradient of window ${place} has no finite norm`)
      const factor = Math.min(1, clip / Math.max(norm, Number.MIN_VALUE))
      for (const [at, value] of gradient.entries()) sum[at] = sum[at]! + factor * value
    }
    return sum
  }

  loss(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<number | undefined> {
    return this.#alone(() => this.#loss(weights, which, signal))
  }

  /** Of each window of a part: what an interval around the mean needs. */
  losses(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<Float64Array> {
    return this.#alone(async () => {
      const all: number[] = []
      for (const row of this.#examples.parts[which].index) {
        all.push(await this.#lossOf(weights, which, Uint32Array.of(row), signal))
      }
      return Float64Array.from(all)
    })
  }

  async #loss(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<number | undefined> {
    const { index } = this.#examples.parts[which]
    const told = which === 'train' ? index.subarray(0, TOLD) : index
    return told.length === 0 ? undefined : this.#lossOf(weights, which, told, signal)
  }

  async #lossOf(
    weights: Float32Array,
    which: 'train' | 'test',
    index: Uint32Array,
    signal?: AbortSignal,
  ): Promise<number> {
    const { stepper } = await this.#open()
    const part = { rows: this.#examples.parts[which].rows, index }
    const parameters = this.#all(weights)
    const request = { session: stepper.evaluation, plan: this.#plan, part, parameters, metrics: [], others: undefined }
    return (await evaluate(request, signal)).loss
  }

  async metrics(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<Metrics | undefined> {
    const loss = await this.loss(weights, which, signal)
    return loss === undefined ? undefined : new Gauge(['loss', 'perplexity']).metrics(loss)
  }

  /** In PEFT's layout. */
  async write(weights: Float32Array, folder: string): Promise<readonly string[]> {
    const { shape, model } = this.#base.manifest
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeAdapter(folder, shape, model, asAdapter(this.#spec, this.#all(weights)))
    return [ADAPTER_FILES.config, ADAPTER_FILES.weights]
  }

  get base(): string {
    return this.#base.manifest.model
  }

  async close(): Promise<void> {
    await this.#turn
    const opened = await this.#opened?.catch(() => undefined)
    this.#opened = undefined
    await opened?.stepper.close()
    await opened?.line.close()
    opened?.embedding.close()
    await this.#examples.close()
  }

  /** One after the other: a session of the blocks holds what belongs to one run. */
  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  /** With the factors that stay as they were drawn. */
  #all(weights: Float32Array): Tensors {
    return { ...this.#first, ...tensorsOf(this.#shapes, weights) }
  }

  /** A window a micro-batch: memory is that of one. */
  async #windows(
    rows: Uint32Array,
    signal?: AbortSignal,
  ): Promise<{ readonly feeds: Tensors; readonly rows: number }[]> {
    const part = this.#examples.parts.train
    const all = []
    for (const row of rows) {
      all.push({ feeds: await feedsFor(this.#plan, part, Uint32Array.of(row), undefined, signal), rows: 1 })
    }
    return all
  }

  /** The weights are loaded when they are first needed. */
  #open(): Promise<Opened> {
    this.#opened ??= this.#load()
    return this.#opened
  }

  async #load(): Promise<Opened> {
    const { engine, folder, threads } = this.#needs
    const { manifest, store } = this.#base
    const ref = manifest.blocks[0]!.tensors[0]!
    const embedding = openEmbedding(store.path(ref.address), manifest.shape, ref, 'f32')
    const line = await this.#base.line(this.#spec, baseOf(this.#fed).length, folder, threads)
    const stepper = await AdapterStepper.open({
      sessions: { engine, folder, options: { threads, optimization: 'basic' } },
      plan: { ...this.#plan, batch: 1 },
      parameters: this.#first,
      line,
      embedding,
      width: manifest.shape.width,
    })
    return { stepper, line, embedding }
  }
}

type LoraSpec = Extract<AdapterSpec, { kind: 'lora' }>

interface Own {
  readonly site: string
  readonly spec: LoraSpec
  readonly examples: Examples
}

/** The very model that the plan means, all of it. @throws BaseModelError */
async function heldBase({ base }: TrainerNeeds, plan: FedPlan, site: string, signal?: AbortSignal): Promise<BaseModel> {
  const wanted = baseOf(plan)
  if (base === undefined) throw new BaseModelError(site, wanted, 'it holds no language models')
  const held = await base(wanted, signal).catch((error: unknown) => {
    signal?.throwIfAborted()
    throw new BaseModelError(site, wanted, (error as Error).message, error)
  })
  const { digest } = held.manifest
  if (digest !== wanted.digest)
    throw new BaseModelError(site, wanted, `its model of this name has the digest ${digest}`)
  for (const address of new Set(
    held.manifest.blocks.flatMap((block) => block.tensors.map((tensor) => tensor.address)),
  )) {
    if (!(await held.store.has(address))) throw new BaseModelError(site, wanted, 'its weights are not all here')
  }
  return held
}
