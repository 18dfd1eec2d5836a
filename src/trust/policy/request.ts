/** A request as people and programs write it, to be tested against a policy. */
import * as z from 'zod'
import { nearest } from '../../util/index.ts'
import { isPeerId } from '../identity.ts'
import { ROLES } from '../membership/index.ts'
import { PolicyRequestError } from './errors.ts'
import { POLICY_ACTIONS } from './types.ts'
import type { PolicyRequest } from './types.ts'

const name = z.string().min(1).max(128)
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

const schema = z.strictObject({
  action: z.enum(POLICY_ACTIONS),
  peer: name.refine(isPeerId, 'expected a PeerId'),
  role: z.enum(ROLES).optional(),
  model: name.optional(),
  plan: name.optional(),
  data: name.optional(),
  epsilon: z.number().min(0).optional(),
  delta: z.number().min(0).max(1).optional(),
  masked: z.boolean().optional(),
  sites: count.optional(),
  records: count.optional(),
})

const KEYS = ['action', 'peer', 'role', 'model', 'plan', 'data', 'epsilon', 'delta', 'masked', 'sites', 'records']

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
    throw new PolicyRequestError(`it has no "${key}"${meant(key, KEYS)}`)
  }
  if (issue?.code === 'invalid_value') {
    const [key = ''] = issue.path.map(String)
    const known = issue.values.map(String)
    const given = (value as Record<string, unknown>)[key]
    const guess = typeof given === 'string' ? meant(given, known) : ''
    throw new PolicyRequestError(`${key}: expected ${known.map((each) => `"${each}"`).join(', ')}${guess}`)
  }
  throw new PolicyRequestError(`${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'it is none'}`)
}

function meant(word: string, known: readonly string[]): string {
  const guess = nearest(word, known)
  return guess === undefined ? '' : `; did you mean "${guess}"?`
}
