/** What a site sends of its update where the plan makes it smaller, and what of it stays for the next round. */
import type { Compression } from '../compression/types.ts'
import type { FedState } from '../rounds/state.ts'
import type { SiteMemory } from './site.ts'

/** One round's training at a site. */
export interface Trained {
  /** From 0. */
  readonly round: number
  /** Of the model that it began with. */
  readonly loss: number
  readonly update: Float64Array
}

/**
 * @param trained of the round that the sum from this state belongs to
 * @param kept what the site keeps of this round for reasons of its own
 */
export function compressedUpdate(
  compression: Compression,
  state: FedState,
  kept: SiteMemory,
  trained: Trained,
): { readonly update: Float64Array; readonly memory: SiteMemory } {
  const { residual: before, trained: _, ...others } = kept
  const { update } = trained
  const vector = before === undefined ? update : update.map((value, index) => value + before[index]!)
  const { reals, residual } = compression.send(state, vector)
  // Until the round's last sum nothing is taken out of what was left, and both sums are of one training.
  const left = compression.isLast(state) ? residual : before
  const memory: SiteMemory = {
    ...others,
    ...(left === undefined ? {} : { residual: left }),
    ...(compression.isLast(state) ? {} : { trained }),
  }
  return { update: reals, memory }
}
