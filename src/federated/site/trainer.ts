/** A site's own data and model, whatever training knows of both: statistics of its columns, local training, and how good a model is on its test rows. */
import { join } from 'node:path'
import { discardOutput, writeModel } from '../../onnx/index.ts'
import {
  batchRows,
  batchesOf,
  buildForward,
  checkPlan,
  createPerExample,
  createStepper,
  epochOrder,
  evaluate,
  evaluationGraph,
  feedsFor,
  fitFeature,
  loadExamples,
  openSession,
  trainedModel,
} from '../../training/index.ts'
import type {
  Evaluated,
  Examples,
  Forward,
  Metrics,
  Part,
  PerExample,
  Session,
  Stepper,
  TrainPlan,
} from '../../training/index.ts'
import { FedPlanError, SiteRecordsError, TrainerError } from '../plan/errors.ts'
import { checkExample, dataKindsOf } from '../plan/input.ts'
import { onnxOf } from '../plan/model-file.ts'
import type { SiteData } from '../plan/read-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import { dataSpecOf, trainPlanOf } from '../plan/train-plan.ts'
import { balanced } from './balance.ts'
import type { Balanced } from './balance.ts'
import { heldFile } from './held-file.ts'
import { corrected, zeroed } from './local-trainer.ts'
import type { LocalJob, LocalResult, LocalTrainer, TrainerNeeds } from './local-trainer.ts'
import { momentsOf } from './moments.ts'
import { flatOf, tensorsOf, wideFlatOf } from './parameters.ts'
import type { ParameterShape } from './parameters.ts'
import type { ColumnMoments, Pooled } from './statistics.ts'

/** Rows that are looked at together. */
const ROWS_AT_ONCE = 4096
/** Bytes of rows in memory. */
const MEMORY = 256 << 20

interface Fitted {
  readonly examples: Examples
  readonly forward: Forward
  readonly stepper: Stepper
  readonly evaluation: Session
}

interface Plans {
  readonly fed: FedPlan
  /** What this site carries out. */
  readonly plan: TrainPlan
  /** With which the model begins, where it is one of a file. */
  readonly file: Awaited<ReturnType<typeof heldFile>> | undefined
}

export class SiteTrainer implements LocalTrainer {
  readonly site: string
  readonly #needs: TrainerNeeds
  readonly #plans: Plans
  readonly #plan: TrainPlan
  readonly #fed: FedPlan
  readonly #examples: Examples
  #fitted: Fitted | undefined
  #fittedTo: Pooled | undefined
  /** Of a virtual site: whose model and rows it shares. */
  #whole: SiteTrainer | undefined
  #moments: ColumnMoments[] | undefined
  #perExample: PerExample | undefined
  #balanced: Balanced | undefined

  private constructor(needs: TrainerNeeds, plans: Plans, site: string, examples: Examples) {
    this.#needs = needs
    this.#plans = plans
    this.#fed = plans.fed
    this.#plan = plans.plan
    this.site = site
    this.#examples = examples
  }

  /** @throws what reading data throws, FedPlanError (it is not what the plan takes), BaseModelError, SiteRecordsError */
  static async open(needs: TrainerNeeds, fed: FedPlan, own: SiteData, signal?: AbortSignal): Promise<SiteTrainer> {
    const { data, folder, path } = own
    const kinds = dataKindsOf(fed)
    if (!kinds.includes(data.kind))
      throw new FedPlanError(path, 'kind', `is "${data.kind}", and the plan takes ${kinds.join(' or ')}`)
    const onnx = onnxOf(fed)
    const file = onnx === undefined ? undefined : await heldFile(needs, onnx, own, signal)
    const value: unknown = JSON.parse(JSON.stringify(trainPlanOf(fed, dataSpecOf(fed, data), 'model.onnx')))
    const plan = checkPlan(value, path)
    const load = { folder, scratch: needs.folder, memory: MEMORY, seed: plan.seed ?? 0, planPath: path }
    const examples = await loadExamples(plan, load, signal)
    try {
      checkExample(fed, examples.input, path)
      if (examples.parts.train.index.length === 0)
        throw new SiteRecordsError(data.site, 'it has no record for training')
    } catch (error) {
      await examples.close()
      throw error
    }
    return new SiteTrainer(needs, { fed, plan, file }, data.site, examples)
  }

  /**
   * A site that has some of these rows (places among those for training) and shares everything else: thousands of them
   * stand on one table. They take turns; none may run beside another.
   */
  async virtual(name: string, places: Uint32Array): Promise<SiteTrainer> {
    const { parts } = this.#examples
    const index = Uint32Array.from(places, (place) => parts.train.index[place]!)
    const examples = { ...this.#examples, parts: { ...parts, train: { ...parts.train, index } } }
    const part = new SiteTrainer(this.#needs, this.#plans, name, examples)
    part.#whole = this
    part.#moments = await momentsOf(examples)
    return part
  }

  /** Rows for training. */
  get records(): number {
    return this.#examples.parts.train.index.length
  }

  get testRecords(): number {
    return this.#examples.parts.test.index.length
  }

  /** Of the columns that are standardised, or whose missing cells become their mean. */
  moments(): ColumnMoments[] {
    if (this.#moments !== undefined) return this.#moments
    const { features = [], moments = [] } = this.#examples
    return features.flatMap(({ kind, column }, index) => {
      const { count, mean, squares } = moments[index]!
      return kind === 'standard' || kind === 'raw' ? [{ column, count, mean, squares }] : []
    })
  }

  /** Raw numbers of these columns, of each row for training; NaN where a cell is missing. */
  async eachTrainingRow(columns: readonly string[], visit: (values: readonly number[]) => void): Promise<void> {
    const { parts, features = [], input } = this.#examples
    const places = columns.map((column) => features.findIndex((feature) => feature.column === column))
    const { rows, index } = parts.train
    for (let from = 0; from < index.length; from += ROWS_AT_ONCE) {
      const x = (await rows.take(index.subarray(from, from + ROWS_AT_ONCE)))[input.name]!.data as Float32Array
      for (let row = 0; row < x.length; row += features.length) visit(places.map((place) => x[row + place]!))
    }
  }

  /** Of the rows for training, in their order: what a skew of labels goes by. */
  async labels(): Promise<number[]> {
    const { rows, index } = this.#examples.parts.train
    const labels: number[] = []
    for (let from = 0; from < index.length; from += ROWS_AT_ONCE) {
      const { target } = await rows.take(index.subarray(from, from + ROWS_AT_ONCE))
      for (const label of (target?.data ?? []) as Iterable<number | bigint>) labels.push(Number(label))
    }
    return labels
  }

  /** Classes that count the same; undefined: each record does. */
  async balanced(): Promise<Balanced | undefined> {
    if (this.#fed.local.balance === true) this.#balanced ??= balanced(await this.labels())
    return this.#balanced
  }

  /** The rows that training goes through, some of them again. */
  async #trained(part: Part): Promise<Part> {
    const index = (await this.balanced())?.places.map((place) => part.index[place]!)
    return index === undefined ? part : { ...part, index }
  }

  /** With what all sites know of their columns together: from here on there is a model. */
  async fit(pooled: Pooled): Promise<void> {
    if (this.#whole !== undefined) {
      if (this.#whole.#fittedTo !== pooled) await this.#whole.fit(pooled)
      this.initial = this.#whole.initial
      return
    }
    await this.close(true)
    this.#fittedTo = pooled
    const of = new Map(pooled.columns.map((column) => [column.column, column]))
    const features = this.#examples.features?.map((feature, index) => {
      const known = of.get(feature.column)
      return known === undefined ? feature : fitFeature(this.#plan.features![index]!, known, [])
    })
    const examples = features === undefined ? this.#examples : { ...this.#examples, features }
    const forward = buildForward(this.#plan, examples, this.#plan.seed ?? 0, true, this.#plans.file)
    const sessions = this.#sessions()
    const stepper = await createStepper(sessions, this.#plan, forward)
    const evaluation = await openSession(sessions, 'evaluation', evaluationGraph(this.#plan, forward))
    this.#fitted = { examples, forward, stepper, evaluation }
    this.initial = flatOf(this.shapes(), stepper.parameters)
  }

  /** What training begins with, the same at every site. */
  initial: Float32Array = new Float32Array()

  shapes(): readonly ParameterShape[] {
    const { forward } = this.#model()
    const { initializers } = forward.model.graph
    return forward.parameters.map((name) => ({ name, dims: initializers.get(name)?.dims ?? [] }))
  }

  /** @throws TrainerError when a value is not finite */
  async train(job: LocalJob, signal?: AbortSignal): Promise<LocalResult> {
    const { stepper, examples } = this.#model()
    const plan = this.#plan
    const part = await this.#trained(examples.parts.train)
    const shapes = this.shapes()
    const rate = plan.optimizer.lr
    stepper.parameters = tensorsOf(shapes, job.start)
    stepper.state = zeroed(stepper.state)
    const perEpoch = batchesOf(plan, part.index.length)
    const steps = job.steps ?? this.#fed.local.steps ?? (this.#fed.local.epochs ?? 1) * perEpoch
    let order = part.index
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted()
      const epoch = Math.floor((job.round * steps + step) / perEpoch)
      if (step === 0 || step % perEpoch === 0) order = epochOrder(plan, part, plan.seed ?? 0, epoch)
      const rows = batchRows(plan, order, step % perEpoch)
      const before = flatOf(shapes, stepper.parameters)
      const feeds = await feedsFor(plan, part, rows, undefined, signal)
      const loss = await stepper.step([{ feeds, rows: rows.length }], { step, rate })
      if (!Number.isFinite(loss)) throw new TrainerError(this.site, `the loss of step ${step + 1} is ${loss}`)
      if (job.proximal !== undefined || job.correction !== undefined) {
        const after = corrected(flatOf(shapes, stepper.parameters), before, rate, job)
        stepper.parameters = tensorsOf(shapes, after)
      }
    }
    return { weights: flatOf(shapes, stepper.parameters), steps }
  }

  /** Sum of the clipped gradients of these rows (places among the rows for training). */
  async clippedSum(weights: Float32Array, places: Uint32Array, clip: number): Promise<Float64Array> {
    const { examples, forward } = this.#model()
    const shapes = this.shapes()
    if (places.length === 0) return new Float64Array(weights.length)
    const owner = this.#whole ?? this
    owner.#perExample ??= await createPerExample(this.#sessions(), this.#plan, forward)
    const part = examples.parts.train
    const feeds = await feedsFor(
      this.#plan,
      part,
      Uint32Array.from(places, (place) => part.index[place]!),
      undefined,
    )
    const parameters = tensorsOf(shapes, weights)
    const { sums, norms } = await owner.#perExample.clippedSum(parameters, feeds, clip)
    const odd = norms.findIndex((norm) => !Number.isFinite(norm))
    if (odd >= 0) throw new TrainerError(this.site, `the gradient of row ${places[odd]} has no finite norm`)
    const flat = wideFlatOf(shapes, sums)
    for (const tensor of [...Object.values(parameters), ...Object.values(sums)]) discardOutput(tensor)
    return flat
  }

  async loss(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<number | undefined> {
    return (await this.#evaluated(weights, which, [], signal))?.loss
  }

  async metrics(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<Metrics | undefined> {
    const names = ['loss', ...(this.#plan.metrics ?? [])] as const
    return (await this.#evaluated(weights, which, names, signal))?.metrics
  }

  /** What the model says of the rows of a part; nothing where it has none. */
  async #evaluated(
    weights: Float32Array,
    which: 'train' | 'test',
    metrics: readonly (keyof Metrics)[],
    signal?: AbortSignal,
  ): Promise<Evaluated | undefined> {
    const { evaluation, examples } = this.#model()
    const part = examples.parts[which]
    if (part.index.length === 0) return undefined
    const parameters = tensorsOf(this.shapes(), weights)
    const request = { session: evaluation, plan: this.#plan, part, parameters, metrics, others: undefined }
    return evaluate(request, signal)
  }

  /** `model.onnx`, and what lies beside it. */
  async write(weights: Float32Array, folder: string): Promise<readonly string[]> {
    const model = trainedModel(this.#model().forward, tensorsOf(this.shapes(), weights))
    const { files } = await writeModel(model, join(folder, 'model.onnx'))
    return files.map(({ path }) => path.slice(folder.length + 1))
  }

  /** @param keepData the rows stay */
  async close(keepData = false): Promise<void> {
    if (this.#whole !== undefined) return
    await this.#perExample?.close()
    this.#perExample = undefined
    const fitted = this.#fitted
    this.#fitted = undefined
    await fitted?.stepper.close()
    await fitted?.evaluation.close()
    if (!keepData) await this.#examples.close()
  }

  #sessions(): Parameters<typeof openSession>[0] {
    const { engine, folder, threads } = this.#needs
    return { engine, folder, options: { threads, optimization: 'basic' } }
  }

  #model(): Fitted {
    if (this.#whole !== undefined) return { ...this.#whole.#model(), examples: { ...this.#examples } }
    if (this.#fitted === undefined) throw new TrainerError(this.site, 'the statistics of all sites are not there yet')
    return this.#fitted
  }
}
