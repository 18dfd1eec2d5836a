/** What has to hold before a run begins, and before it goes on from a checkpoint. */
import { DataChangedError, NoRowsError } from '../../data/index.ts'
import type { Examples } from '../data/index.ts'
import { CheckpointError, PlanFieldError } from '../errors.ts'
import type { TrainPlan } from '../plan/schema.ts'
import type { Checkpoint, CheckpointMeta } from './checkpoint.ts'
import type { Stepper, Tensors } from './stepper.ts'

/** @throws NoRowsError, PlanFieldError */
export function checkParts(plan: TrainPlan, { parts }: Examples, planPath: string): void {
  if (parts.train.index.length === 0) throw new NoRowsError('the part for training')
  if (plan.early_stopping !== undefined && parts.validation.index.length === 0) {
    throw new PlanFieldError(planPath, 'early_stopping', 'there is no part for validation: "split" has to name one')
  }
}

/** @throws DataChangedError */
export function checkData(meta: CheckpointMeta, { files }: Examples): void {
  if (files.length !== meta.data.length) {
    throw new DataChangedError(files[0]?.path ?? '', `${meta.data.length} files were there when the run began`)
  }
  for (const [index, { path, sha256 }] of files.entries()) {
    if (meta.data[index] !== sha256) throw new DataChangedError(path, 'it has other bytes than when the run began')
  }
}

/** @throws CheckpointError when a tensor is missing or of another shape */
export function restore(stepper: Stepper, { parameters, state, best }: Checkpoint, path: string): void {
  const taken = (now: Tensors, kept: Tensors): Tensors => {
    const entries = Object.entries(now).map(([name, tensor]) => {
      const found = kept[name]
      if (found === undefined || found.dims.join() !== tensor.dims.join() || found.type !== tensor.type) {
        throw new CheckpointError(path, `the tensor ${name} is missing, or has another shape`)
      }
      return [name, found] as const
    })
    return Object.fromEntries(entries)
  }
  if (best !== undefined) taken(stepper.parameters, best)
  stepper.parameters = taken(stepper.parameters, parameters)
  stepper.state = taken(stepper.state, state)
}
