/** Reads and checks a plan. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { shown } from '../../onnx/index.ts'
import { nearest, parseJsonText } from '../../util/index.ts'
import { PlanFieldError, PlanUnreadableError } from '../errors.ts'
import { LOSSES_OF } from '../losses/default.ts'
import { planSchema } from './schema.ts'
import type { TrainPlan } from './schema.ts'

const MAX_PLAN_BYTES = 4 * 2 ** 20

export interface ReadPlan {
  readonly plan: TrainPlan
  /** From which relative paths in it count. */
  readonly folder: string
  readonly path: string
}

/** @throws PlanUnreadableError, PlanFieldError */
export async function readPlan(path: string): Promise<ReadPlan> {
  const text = await planText(path)
  let value: unknown
  try {
    value = parseJsonText(text)
  } catch (error) {
    throw new PlanUnreadableError(path, `it is no JSON: ${(error as Error).message.slice(0, 200)}`)
  }
  return { plan: checkPlan(value, path), folder: dirname(resolve(path)), path }
}

async function planText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_PLAN_BYTES) throw new Error(`it has ${size} bytes, and ${MAX_PLAN_BYTES} are the most`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new PlanUnreadableError(path, (error as Error).message, error)
  }
}

/** @throws PlanFieldError for the first problem */
export function checkPlan(value: unknown, path: string): TrainPlan {
  const result = planSchema.safeParse(value)
  if (result.success) {
    checkLoss(result.data, path)
    return result.data
  }
  const issue = deepest(result.error.issues)
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  if (unknown !== undefined) {
    const known = keysAt(issue.path)
    throw new PlanFieldError(path, pathText([...issue.path, unknown]), 'there is no such field', {
      near: nearest(unknown, known),
      known,
    })
  }
  const known = valuesFor(issue)
  const given = valueAt(value, issue.path)
  const near = typeof given === 'string' ? nearest(given, known) : undefined
  throw new PlanFieldError(path, pathText(issue.path), wordsOf(issue, given), { near, known })
}

/** What may stand there, where that is a list: values of a field, or the kinds that an object may have. */
function valuesFor(issue: Issue): readonly string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String)
  if (issue.code !== 'invalid_union' || issue.discriminator === undefined) return []
  const at = schemasAt(issue.path.slice(0, -1))
  const { discriminator } = issue
  return at.flatMap(({ properties }) => {
    const field = properties?.[discriminator]
    return field?.enum ?? (field?.const === undefined ? [] : [field.const])
  })
}

function wordsOf(issue: Issue, given: unknown): string {
  if (given === undefined) return 'it is missing'
  if (issue.code === 'invalid_type') return `it is ${kindOf(given)}, and should be ${issue.expected}`
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    return typeof given === 'string'
      ? `there is no kind ${shown(given)}`
      : `it is ${kindOf(given)}, and should be string`
  }
  if (issue.code === 'invalid_value') return `it is ${shown(JSON.stringify(given).slice(0, 60))}`
  return lowerFirst(issue.message)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

/** @throws PlanFieldError */
function checkLoss({ task, loss }: TrainPlan, path: string): void {
  const fitting = LOSSES_OF[task]
  if (loss === undefined || fitting.includes(loss.kind)) return
  const why =
    loss.kind === 'distillation'
      ? `"${task}" has no classes to learn from a teacher`
      : `it is no loss of the task "${task}"`
  throw new PlanFieldError(path, 'loss.kind', why, { known: fitting })
}

type Issue = z.core.$ZodIssue

/** Of alternatives, the one that was nearest to fit: whose problem lies deepest. */
function deepest(issues: readonly Issue[]): Issue {
  const flat = issues.flatMap((issue) => [issue, ...inside(issue)])
  return flat.reduce((best, issue) => (rank(issue) > rank(best) ? issue : best))
}

/** Problems of the alternative that has the fewest. */
function inside(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return []
  const fewest = issue.errors.reduce((best, errors) => (cost(errors) < cost(best) ? errors : best))
  const moved = fewest.map((inner): Issue => ({ ...inner, path: [...issue.path, ...inner.path] }))
  return moved.flatMap((inner) => [inner, ...inside(inner)])
}

/** An alternative of another type altogether is the worst; an unknown field the least. */
function cost(errors: readonly Issue[]): number {
  return errors.reduce((sum, { code, path }) => sum + (path.length > 0 || code === 'unrecognized_keys' ? 1 : 10), 0)
}

/** An unknown field lies in its object, and is the likeliest cause of what else is wrong there. */
function rank({ path, code }: Issue): number {
  if (code === 'unrecognized_keys') return path.length + 1.6
  return path.length + (code === 'invalid_union' ? 0 : 0.5)
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly const?: string
  readonly enum?: readonly string[]
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
}

/** Fields that an object at this place may have. */
function keysAt(path: readonly PropertyKey[]): string[] {
  return [...new Set(schemasAt(path).flatMap(({ properties = {} }) => Object.keys(properties)))]
}

function schemasAt(path: readonly PropertyKey[]): readonly JsonSchema[] {
  let schemas = alternatives(z.toJSONSchema(planSchema, { io: 'input' }) as JsonSchema)
  for (const step of path) {
    const next = schemas.map(({ properties, items }) => (typeof step === 'number' ? items : properties?.[String(step)]))
    schemas = next.filter((schema) => schema !== undefined).flatMap(alternatives)
  }
  return schemas
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  return [schema, ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].flatMap(alternatives)]
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, step) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[step] : undefined),
    value,
  )
}

/** `data.columns[0].name`. */
function pathText(path: readonly PropertyKey[]): string {
  const joined = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('')
  return joined.replace(/^\./, '').slice(0, 200)
}

function lowerFirst(words: string): string {
  return words.charAt(0).toLowerCase() + words.slice(1)
}
