/** The plan of training that a site carries out for the plan of a federation. */
import type { TrainPlan } from '../../training/index.ts'
import { baseOf, isLanguage, languageParts } from './language.ts'
import { onnxOf } from './model-file.ts'
import { deadlineOf } from './round-fields.ts'
import type { FedData, FedPlan } from './schema.ts'

/**
 * @param data as a plan of training has it
 * @param held path of the file of a model of the kind `onnx`
 */
export function trainPlanOf(plan: FedPlan, data: object, held?: string): TrainPlan {
  const { local } = plan
  const kind = local.optimizer ?? 'sgd'
  const value = {
    schema: 'weft.train-plan/1',
    name: plan.name,
    seed: local.seed ?? 0,
    task: plan.task,
    data,
    split: plan.split,
    ...(isLanguage(plan) ? languageParts(plan) : ownParts(plan, held)),
    optimizer: { kind, lr: local.lr, momentum: local.momentum, weight_decay: local.weight_decay },
    epochs: local.epochs ?? 1,
    batch: local.batch ?? 'full',
    shuffle: local.shuffle,
    metrics: METRICS[plan.task],
  }
  return value as unknown as TrainPlan
}

/** Of a model that is no adapter. */
function ownParts(plan: FedPlan, held: string | undefined): object {
  const { target, classes, features, input, init = 'hash' } = plan
  const labels = input !== undefined && 'labels' in input ? input.labels?.length : undefined
  const file = onnxOf(plan)
  const { digest: _, ...named } = file ?? { digest: '' }
  return {
    target,
    classes: classes ?? (plan.task === 'multiclass' ? labels : undefined),
    features: features?.map(withoutRange),
    model: file === undefined ? plan.model : { ...named, path: held },
    // A file brings its own first values.
    init: file === undefined ? init : undefined,
  }
}

/** The range of a column is for its statistics under privacy, and nothing that training knows. */
function withoutRange(feature: unknown): unknown {
  if (typeof feature !== 'object' || feature === null) return feature
  const { range: _, ...rest } = feature as { readonly range?: unknown }
  return rest
}

const METRICS = {
  binary: ['accuracy', 'auc', 'brier'],
  multiclass: ['accuracy'],
  regression: ['rmse'],
  survival: ['c-index'],
  autoencoder: [],
  language: ['perplexity'],
} as const

/** The data of a site as a plan of training has it. */
export function dataSpecOf(plan: FedPlan, data: Partial<FedData>): object {
  const { kind, path, field, header, separator, columns, missing, input, target, images, labels } = data as Partial<
    Record<string, unknown>
  >
  const own = plan.input
  const classes = own !== undefined && 'labels' in own ? own.labels : undefined
  switch (kind) {
    case 'npz':
      return { kind, path, input, target: plan.task === 'autoencoder' ? undefined : target }
    case 'idx':
      return { kind, images, labels }
    case 'images':
      return { kind, path, classes }
    case 'wav':
      return own?.kind === 'sound' ? { kind, path, rate: own.rate, seconds: own.seconds, classes } : { kind, path }
    case 'text':
      return { kind, path, length: own?.kind === 'text' ? own.length : baseOf(plan).length, field }
    default:
      return { kind: 'csv', path, header, separator, columns, missing }
  }
}

const UNITS = { s: 1000, m: 60_000, h: 3_600_000 } as const

/** Deadlines of the plan after which a result that nobody knows is given up: 12 hours at 10 minutes. */
const LOST_DEADLINES = 72

/** Milliseconds that a signed sum is waited for, where no other may be made. */
export function patienceOf(plan: Pick<FedPlan, 'deadline'>): number {
  return LOST_DEADLINES * deadlineOf(plan)
}

/** For people. @param ms milliseconds */
export function timeInWords(ms: number): string {
  const [size, unit] = (
    [
      [UNITS.h, 'hours'],
      [UNITS.m, 'minutes'],
    ] as const
  ).find(([least]) => ms >= 2 * least) ?? [UNITS.s, 'seconds']
  return `${Math.round(ms / size)} ${unit}`
}

/** Sites that must be there, as the plan says, and records of all of them together. */
export function minimumOf({ minimum }: Pick<FedPlan, 'minimum'>): { readonly sites: number; readonly records: number } {
  return { sites: minimum?.sites ?? 3, records: minimum?.records ?? 64 }
}
