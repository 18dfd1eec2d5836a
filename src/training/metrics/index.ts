/** Metrics by their names. */
import { PlanFieldError } from '../errors.ts'
import type { MetricName, TrainPlan } from '../plan/schema.ts'
import { Accuracy, Brier, CalibrationError, F1 } from './classes.ts'
import { AreaUnderCurve, Concordance } from './ranking.ts'
import { RootMeanSquare } from './regression.ts'
import type { Meter, Said } from './types.ts'

export type { Said } from './types.ts'

export type Metrics = Partial<Record<MetricName, number>>

type Task = TrainPlan['task']

const OF_TASK: Readonly<Record<Task, readonly MetricName[]>> = {
  binary: ['loss', 'accuracy', 'auc', 'f1', 'ece', 'brier'],
  multiclass: ['loss', 'accuracy', 'f1', 'ece', 'brier', 'perplexity'],
  regression: ['loss', 'rmse'],
  survival: ['loss', 'c-index'],
  autoencoder: ['loss'],
  ranking: ['loss', 'auc'],
  language: ['loss', 'perplexity'],
}

const DEFAULTS: Readonly<Record<Task, readonly MetricName[]>> = {
  binary: ['accuracy', 'auc'],
  multiclass: ['accuracy'],
  regression: ['rmse'],
  survival: ['c-index'],
  autoencoder: [],
  ranking: ['auc'],
  language: ['perplexity'],
}

/** Metrics of which less is better. */
const FALLING: ReadonlySet<MetricName> = new Set<MetricName>(['loss', 'rmse', 'ece', 'brier', 'perplexity'])

export function isBetter(metric: MetricName, value: number, than: number, by: number): boolean {
  return FALLING.has(metric) ? value < than - by : value > than + by
}

/** Those of the plan and what early stopping looks at; the loss always. @throws PlanFieldError */
export function metricsOf(plan: TrainPlan, planPath: string): readonly MetricName[] {
  const asked = plan.metrics ?? DEFAULTS[plan.task]
  const watched = plan.early_stopping === undefined ? [] : [watchedMetric(plan)]
  const known = OF_TASK[plan.task]
  const odd = [...asked, ...watched].find((name) => !known.includes(name))
  if (odd !== undefined) throw new PlanFieldError(planPath, 'metrics', `${plan.task} has no ${odd}`, { known })
  return [...new Set<MetricName>(['loss', ...asked, ...watched])]
}

export function watchedMetric(plan: TrainPlan): MetricName {
  return plan.early_stopping?.metric ?? 'loss'
}

const METERS: Readonly<Partial<Record<MetricName, () => Meter>>> = {
  accuracy: () => new Accuracy(),
  auc: () => new AreaUnderCurve(),
  'c-index': () => new Concordance(),
  rmse: () => new RootMeanSquare(),
  f1: () => new F1(),
  ece: () => new CalibrationError(),
  brier: () => new Brier(),
}

/** Metrics of examples that are looked at batch by batch. */
export class Gauge {
  readonly #names: readonly MetricName[]
  readonly #meters: ReadonlyMap<MetricName, Meter>

  constructor(names: readonly MetricName[]) {
    this.#names = names
    const meters = names.map((name): [MetricName, Meter | undefined] => [name, METERS[name]?.()])
    this.#meters = new Map(meters.filter((pair): pair is [MetricName, Meter] => pair[1] !== undefined))
  }

  /** Whether anything but the loss is asked for. */
  get needsScores(): boolean {
    return this.#meters.size > 0
  }

  add(said: Said): void {
    for (const meter of this.#meters.values()) meter.add(said)
  }

  /** A metric that has no meaning for these examples (one class alone, say) is left out. @param loss the mean */
  metrics(loss: number): Metrics {
    const value = (name: MetricName): number =>
      name === 'loss' ? loss : name === 'perplexity' ? Math.exp(loss) : (this.#meters.get(name)?.value() ?? NaN)
    const values = this.#names.map((name) => [name, value(name)] as const)
    return Object.fromEntries(values.filter(([, number]) => Number.isFinite(number)))
  }
}
