/** What a candidate's loss is held against. */
import type { StandingModel } from '../../federated/index.ts'
import type { RolloutRecord } from './record.ts'

/** Of what serves, on the records on which the candidate is measured. Another job's model may have another form: then it is the model without any. */
export async function liveLoss({ live, job }: RolloutRecord, standing: StandingModel): Promise<number | null> {
  const { trainer } = standing
  if (live?.job === job) {
    const weights = await standing.weightsOf(live.round)
    return (weights === undefined ? live.loss : await trainer.loss(weights, 'test')) ?? null
  }
  // A table's model begins as nothing that could serve.
  return trainer.base === undefined ? null : ((await trainer.loss(trainer.initial, 'test')) ?? null)
}
