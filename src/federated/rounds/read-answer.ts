/** What a member answers to `begin`: its advertisement, or without secure sums its contribution; checked as a whole. */
import { ParameterRangeError } from '../errors.ts'
import { UpdateTooOldError } from '../plan/errors.ts'
import type { Guest } from './coordinator-types.ts'
import type { JobView } from './job-view.ts'
import { readContribution } from './layout.ts'
import type { Contribution } from './layout.ts'
import { WIDE } from './math.ts'
import type { FedState } from './state.ts'
import { mostFixed, realOf } from './wide.ts'
import { bodyOf, expectOf } from './wire.ts'

/** @throws the refusals of a message that is none, VectorLengthError, NotFiniteError, ParameterRangeError, UpdateTooOldError */
export async function readAnswer(guest: Guest, job: JobView, state: FedState): Promise<void> {
  if (job.isSecure) {
    const message = await expectOf(guest.pipe, ['advertise'], job.deadlineMs)
    guest.joined = { peer: guest.peer, pipe: guest.pipe, ...bodyOf('advertise', message) }
    return
  }
  const message = await expectOf(guest.pipe, ['plain'], job.deadlineMs)
  const { float32 = false } = bodyOf('plain', message)
  const contribution = readContribution(message.payload, job.math.shape(state), float32 ? 'float32' : 'float64')
  checkWide(contribution, state)
  checkAge(contribution, job, state)
  guest.contribution = contribution
}

/** Counts and weights that nobody's data can have would spoil the sum of all. */
function checkWide({ wide }: Contribution, { pooled }: FedState): void {
  const odd = wide.findIndex((value) => value > mostFixed || value < -mostFixed)
  if (odd >= 0) throw new ParameterRangeError(`number ${odd} of a contribution is too large`, { index: odd })
  const positive = pooled === null ? [0] : [WIDE.weight, WIDE.records]
  for (const index of positive) {
    const value = wide[index]
    if (value !== undefined && value <= 0n) {
      throw new ParameterRangeError(`number ${index} of a contribution is ${realOf(value)}, not above 0`, { index })
    }
  }
}

/** Under secure sums the site alone can look at it. */
function checkAge({ wide }: Contribution, { id, math, oldest }: JobView, { pooled }: FedState): void {
  if (pooled === null || !('isBuffered' in math) || !math.isBuffered) return
  const age = realOf(wide[WIDE.extra]!)
  if (age < 0) throw new ParameterRangeError(`a contribution is ${age} rounds old`, { index: WIDE.extra })
  if (oldest !== undefined && age > oldest) throw new UpdateTooOldError(id, age, oldest)
}
