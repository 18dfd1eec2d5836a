/** What a site keeps to itself between rounds, as bytes. */
import type { SiteMemory } from '../site/site.ts'
import { decodeState, encodeState, FIRST_STATE } from './state.ts'

/** As a state whose strategy holds it: arrays by name. */
export function encodeMemory({ control, own, ditto, residual, trained }: SiteMemory): Uint8Array {
  const strategy = {
    ...(control === undefined ? {} : { control }),
    ...(own === undefined ? {} : { own: Float64Array.from(own) }),
    ...(ditto === undefined ? {} : { ditto: Float64Array.from(ditto) }),
    ...(residual === undefined ? {} : { residual }),
    ...(trained === undefined ? {} : { trained: withHead(trained.loss, trained.update) }),
  }
  return encodeState({ ...FIRST_STATE, done: trained?.round ?? 0, strategy })
}

export function decodeMemory(bytes: Uint8Array): SiteMemory {
  const { done: round, strategy } = decodeState(bytes)
  const { control, own, ditto, residual, trained } = strategy
  return {
    ...(control === undefined ? {} : { control }),
    ...(own === undefined ? {} : { own: Float32Array.from(own) }),
    ...(ditto === undefined ? {} : { ditto: Float32Array.from(ditto) }),
    ...(residual === undefined ? {} : { residual }),
    ...(trained === undefined ? {} : { trained: { round, loss: trained[0]!, update: trained.slice(1) } }),
  }
}

function withHead(head: number, list: Float64Array): Float64Array {
  const all = new Float64Array(1 + list.length)
  all[0] = head
  all.set(list, 1)
  return all
}
