/** What a schema has found, as the error about a plan. */
import { nearest } from '../../util/index.ts'
import { FedPlanError } from './errors.ts'

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly code?: string
  readonly keys?: readonly string[]
}

/** @param known fields that there are, for a hint at a misspelt one */
export function issueOf(where: string, issue: object, known: readonly string[]): FedPlanError {
  const { path, message, keys } = issue as Issue
  const unknown = keys?.[0]
  if (unknown !== undefined) {
    const near = nearest(unknown, known)
    const hint = near === undefined ? '' : `: did you mean "${near}"?`
    return new FedPlanError(where, [...path, unknown].map(String).join('.'), `is no field of it${hint}`)
  }
  // Of a union: what the form that it has nearly says, and not that it is none of them.
  const inner = (issue as { readonly errors?: readonly (readonly Issue[])[] }).errors?.find(
    ([first]) => (first?.path.length ?? 0) > 0 || first?.keys !== undefined,
  )?.[0]
  if (inner !== undefined) return issueOf(where, { ...inner, path: [...path, ...inner.path] }, known)
  const said = message.charAt(0).toLowerCase() + message.slice(1)
  return new FedPlanError(where, path.map(String).join('.'), said)
}
