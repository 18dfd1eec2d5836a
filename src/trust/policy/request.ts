/** A request as people and programs write it, to be tested against a policy. */
import * as z from 'zod'
import { nearest } from '../../util/index.ts'
import { isPeerId } from '../identity.ts'
import { PolicyRequestError } from './errors.ts'
import { POLICY_ACTIONS } from './types.ts'
import type { PolicyRequest } from './types.ts'

const name = z.string().min(1).max(128)
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

const schema = z.strictObject({
  action: z.enum(POLICY_ACTIONS),
  peer: name.refine(isPeerId, 'expected a PeerId'),
  role: name.optional(),
  model: name.optional(),
  plan: name.optional(),
  data: name.optional(),
  epsilon: z.number().min(0).optional(),
  delta: z.number().min(0).max(1).optional(),
  sites: count.optional(),
  records: count.optional(),
})

const KEYS = ['action', 'peer', 'role', 'model', 'plan', 'data', 'epsilon', 'delta', 'sites', 'records']

/** @throws PolicyRequestError */
export function readPolicyRequest(text: string): PolicyRequest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new PolicyRequestError((error as Error).message)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue?.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    const guess = nearest(key, KEYS)
    throw new PolicyRequestError(`it has no "${key}"${guess === undefined ? '' : `; did you mean "${guess}"?`}`)
  }
  throw new PolicyRequestError(`${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'it is none'}`)
}
