/** Optimizers: nodes that turn gradients into new parameters, and the rate of each step. */
export { scheduleFactor } from './schedule.ts'
export type { OptimizerSpec, ScheduleSpec } from './types.ts'
export { addUpdate, GRADIENT_NORM, next, stepInputs } from './update.ts'
export type { StateTensor, Trained } from './update.ts'
