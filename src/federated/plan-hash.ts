/** The hash that binds a round to its plan. */
import { canonicalJson } from '../util/index.ts'
import { ascii } from './secagg/bytes.ts'
import { nodePrimitives } from './secagg/primitives.ts'

/** SHA-256 of the plan's RFC 8785 form: key order and spaces of its file do not matter. @throws TypeError for no JSON */
export function planHash(plan: unknown): Uint8Array {
  return nodePrimitives.sha256(ascii(canonicalJson(plan)))
}
