/** Checks a body against its schema and names the field that is wrong. */
import type { z } from 'zod'
import { InvalidParameterError } from './request-errors.ts'

type Issue = z.core.$ZodIssue

/** @throws InvalidParameterError for the first problem. */
export function check<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  if (issue === undefined) throw new InvalidParameterError(null, 'not acceptable')
  throw new InvalidParameterError(...problemOf(issue))
}

function problemOf(issue: Issue): [param: string | null, problem: string] {
  const extra = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const path = extra === undefined ? issue.path : [...issue.path, extra]
  const problem = extra === undefined ? lowerFirst(issue.message) : 'no such field'
  return [path.length === 0 ? null : pathText(path), problem]
}

/** `messages[0].content`. */
function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('')
  return text.replace(/^\./, '').slice(0, 200)
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
