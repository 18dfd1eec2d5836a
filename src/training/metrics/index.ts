/** Metrics by their names. */
import { PlanFieldError } from '../errors.ts'
import type { MetricName, TrainPlan } from '../plan/schema.ts'
import { accuracy, brier, calibrationError, f1, predicted, probabilities } from './classes.ts'
import { areaUnderCurve, concordance } from './ranking.ts'
import type { Said } from './types.ts'

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

/** A metric that has no meaning for these examples (one class alone, say) is left out. */
export function computeMetrics(names: readonly MetricName[], said: Said): Metrics {
  const chances = (): Float64Array => probabilities(said.scores, said.width)
  const classes = (): Uint32Array => predicted(said.scores, said.width)
  const { width, scores, targets, times, loss } = said
  const compute: Record<MetricName, () => number> = {
    loss: () => loss,
    accuracy: () => accuracy(classes(), targets),
    auc: () => areaUnderCurve(scores, targets),
    'c-index': () => concordance(scores, times ?? new Float64Array(targets.length), targets),
    rmse: () => rootMeanSquare(scores, targets),
    f1: () => f1(classes(), targets, Math.max(2, width)),
    ece: () => calibrationError(chances(), width, targets),
    brier: () => brier(chances(), width, targets),
    perplexity: () => Math.exp(loss),
  }
  const values = names.map((name) => [name, compute[name]()] as const)
  return Object.fromEntries(values.filter(([, value]) => Number.isFinite(value)))
}

function rootMeanSquare(scores: Float32Array, targets: Float64Array): number {
  let sum = 0
  for (const [at, score] of scores.entries()) sum += (score - targets[at]!) ** 2
  return Math.sqrt(sum / scores.length)
}
