/** The steps of a run, from where its progress stands to its end. */
import { checkUnchanged } from '../../data/index.ts'
import type { Clock } from '../../util/index.ts'
import type { Examples } from '../data/index.ts'
import { LossNotFiniteError } from '../errors.ts'
import { isBetter, watchedMetric } from '../metrics/index.ts'
import type { Metrics } from '../metrics/index.ts'
import { scheduleFactor } from '../optimizers/index.ts'
import type { MetricName, TrainPlan } from '../plan/schema.ts'
import { batchesOf, batchRows, epochOrder, feedsFor, othersOf } from './batches.ts'
import { saveCheckpoint } from './checkpoint.ts'
import type { CheckpointMeta } from './checkpoint.ts'
import { isFinite } from './diagnose.ts'
import { evaluate } from './evaluate.ts'
import type { CurvePoint, Progress } from './progress.ts'
import type { Session } from './sessions.ts'
import type { Batch, Stepper, Tensors } from './stepper.ts'
import type { TrainProgressSink } from './types.ts'

/** Without a word in the plan, a checkpoint is written at the end of an epoch when the last one is this old. */
const CHECKPOINT_MS = 10_000
const KEPT = 2

export interface RunInit {
  readonly clock: Clock
  readonly plan: TrainPlan
  readonly seed: number
  readonly folder: string
  readonly examples: Examples
  readonly metrics: readonly MetricName[]
  readonly stepper: Stepper
  readonly evaluation: Session
  /** In words, what made the first value that is not finite. */
  diagnose(parameters: Tensors, feeds: Tensors): Promise<string>
  readonly meta: Omit<CheckpointMeta, 'progress'>
  readonly progress: Progress
  readonly best: Tensors | undefined
  readonly sink: TrainProgressSink
}

export class Run {
  progress: Progress
  best: Tensors | undefined
  readonly #init: RunInit
  readonly #stepsInEpoch: number
  #saved: string | null = null
  #savedAt: number
  #savedProgress: Progress | undefined

  constructor(init: RunInit) {
    this.#init = init
    this.progress = init.progress
    this.best = init.best
    this.#savedAt = init.clock.now()
    const batches = batchesOf(init.plan, init.examples.parts.train.index.length)
    this.#stepsInEpoch = Math.ceil(batches / (init.plan.accumulate ?? 1))
  }

  /** @throws LossNotFiniteError, DataChangedError, the signal's reason, and the errors of the disk */
  async toEnd(signal?: AbortSignal): Promise<void> {
    const { plan, examples } = this.#init
    while (this.progress.epoch < plan.epochs && !this.progress.stopped) {
      for (const file of examples.files) await checkUnchanged(file)
      await this.#epoch(signal)
    }
    for (const file of examples.files) await checkUnchanged(file)
    if (this.#savedProgress !== this.progress) await this.#save()
  }

  evaluated(part: 'train' | 'validation' | 'test', signal?: AbortSignal): Promise<Metrics | undefined> {
    return this.#metrics(part, this.best ?? this.#init.stepper.parameters, signal)
  }

  async #epoch(signal?: AbortSignal): Promise<void> {
    const { plan, seed, examples } = this.#init
    const order = epochOrder(plan, examples.parts.train, seed, this.progress.epoch)
    while (this.progress.in_epoch < this.#stepsInEpoch) {
      signal?.throwIfAborted()
      await this.#step(order, signal)
      const every = plan.checkpoint?.every_steps
      if (every !== undefined && this.progress.step % every === 0) await this.#save()
    }
    await this.#endEpoch(signal)
  }

  async #step(order: Uint32Array, signal?: AbortSignal): Promise<void> {
    const { plan, stepper, examples } = this.#init
    const { step, epoch, in_epoch: place } = this.progress
    const batches: Batch[] = []
    for (let at = 0; at < (plan.accumulate ?? 1); at++) {
      const rows = batchRows(plan, order, place * (plan.accumulate ?? 1) + at)
      if (rows.length === 0) break
      const others = othersOf(plan, examples, this.#init.seed, step, at)
      const feeds = await feedsFor(plan, examples.parts.train, rows, others, signal)
      batches.push({ feeds, rows: rows.length })
    }
    const every = plan.checkpoint?.every_steps
    // Whether one is written may hang on the clock; the bits of a step may not.
    const mayRest = place + 1 === this.#stepsInEpoch || (every !== undefined && (step + 1) % every === 0)
    const loss = await stepper.step(batches, { step, rate: this.#rate(), mayRest })
    if (!Number.isFinite(loss)) throw await this.#notFinite(loss, batches[0]!.feeds)
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
    this.progress = {
      ...this.progress,
      step: step + 1,
      in_epoch: place + 1,
      loss_sum: this.progress.loss_sum + loss * rows,
      rows: this.progress.rows + rows,
    }
    this.#init.sink({
      type: 'progress',
      task: `training ${plan.name ?? 'model'}`,
      done: step + 1,
      total: plan.epochs * this.#stepsInEpoch,
      unit: 'steps',
      detail: `epoch ${epoch + 1}, loss ${loss.toPrecision(4)}`,
    })
  }

  #rate(): number {
    const { plan } = this.#init
    const { step, epoch } = this.progress
    const steps = plan.epochs * this.#stepsInEpoch
    return plan.optimizer.lr * scheduleFactor(plan.optimizer.schedule, { step, steps, epoch })
  }

  async #endEpoch(signal?: AbortSignal): Promise<void> {
    const { plan, stepper, clock } = this.#init
    const before = this.progress
    const validation = await this.#metrics('validation', stepper.parameters, signal)
    const point: CurvePoint = {
      epoch: before.epoch + 1,
      step: before.step,
      loss: before.loss_sum / before.rows,
      learning_rate: this.#rate(),
      ...(validation === undefined ? {} : { validation }),
    }
    const curve = [...before.curve, point]
    this.progress = { ...before, epoch: before.epoch + 1, in_epoch: 0, loss_sum: 0, rows: 0, curve }
    this.#watch(validation)
    if (plan.checkpoint?.every_steps === undefined && clock.now() - this.#savedAt >= CHECKPOINT_MS) await this.#save()
  }

  /** Early stopping: keeps the best parameters, and counts the epochs since. */
  #watch(validation: Metrics | undefined): void {
    const { plan, stepper } = this.#init
    const stopping = plan.early_stopping
    const metric = watchedMetric(plan)
    const value = validation?.[metric]
    if (stopping === undefined) return
    const { best, since_best: since } = this.progress
    const isFirst = best === undefined
    if (value !== undefined && (isFirst || isBetter(metric, value, best.value, stopping.least_change ?? 0))) {
      this.best = stepper.parameters
      this.progress = { ...this.progress, best: { epoch: this.progress.epoch, value }, since_best: 0 }
      return
    }
    this.progress = { ...this.progress, since_best: since + 1, stopped: since + 1 >= stopping.patience }
  }

  async #metrics(
    part: 'train' | 'validation' | 'test',
    parameters: Tensors,
    signal?: AbortSignal,
  ): Promise<Metrics | undefined> {
    const { plan, seed, examples, metrics, evaluation: session } = this.#init
    if (examples.parts[part].index.length === 0) return undefined
    const others = othersOf(plan, examples, seed, 'evaluation')
    const request = { session, plan, part: examples.parts[part], parameters, metrics, others }
    return (await evaluate(request, signal)).metrics
  }

  async #save(): Promise<void> {
    const { folder, stepper, meta, plan, clock } = this.#init
    const { parameters, state } = stepper
    const odd = Object.entries(parameters).find(([, tensor]) => !isFinite(tensor))
    if (odd !== undefined) throw this.#lossError(NaN, `the step before, which made the parameter ${odd[0]}`)
    const { progress, best } = this
    const checkpoint = { meta: { ...meta, progress }, parameters, state, best }
    this.#saved = await saveCheckpoint(folder, checkpoint, plan.checkpoint?.keep ?? KEPT)
    this.#savedAt = clock.now()
    this.#savedProgress = progress
  }

  async #notFinite(loss: number, feeds: Tensors): Promise<LossNotFiniteError> {
    const { parameters } = this.#init.stepper
    return this.#lossError(loss, await this.#init.diagnose(parameters, feeds))
  }

  #lossError(loss: number, layer: string): LossNotFiniteError {
    const { step, epoch } = this.progress
    return new LossNotFiniteError({ step: step + 1, epoch: epoch + 1, loss, layer, checkpoint: this.#saved })
  }
}
