/** From the text of a file to a policy that decides; each mistake with its line, its column and the word that was meant. */
import { createHash } from 'node:crypto'
import type * as z from 'zod'
import { nearest } from '../../util/index.ts'
import { compilePolicy } from './compile.ts'
import type { Policy } from './compile.ts'
import { PolicyFileError } from './errors.ts'
import type { PolicyProblem } from './errors.ts'
import { JsonTextError, parsePlacedJson } from './json-text.ts'
import type { PlacedJson } from './json-text.ts'
import { knownKeys, policySchema } from './schema.ts'
import { POLICY_ACTIONS } from './types.ts'
import type { PolicyAction } from './types.ts'

/** Mistakes that are told at once. */
const MAX_PROBLEMS = 20

/** @throws PolicyFileError */
export function readPolicy(text: string, path: string): Policy {
  const placed = placedOf(text, path)
  const parsed = policySchema.safeParse(placed.value)
  const misshapen = parsed.success
    ? []
    : // A name that is not known explains one that is missing.
      parsed.error.issues
        .toSorted((left, right) => Number(isUnknown(right)) - Number(isUnknown(left)))
        .flatMap((issue) => problemsOf(issue, placed))
  const problems = [...misshapen, ...wrongNames(placed)]
  if (problems.length > 0 || !parsed.success) throw new PolicyFileError(path, problems.slice(0, MAX_PROBLEMS))
  return compilePolicy(parsed.data, createHash('sha256').update(text).digest('hex'))
}

function isUnknown({ code }: z.core.$ZodIssue): boolean {
  return code === 'unrecognized_keys'
}

function placedOf(text: string, path: string): PlacedJson {
  try {
    return parsePlacedJson(text)
  } catch (error) {
    if (error instanceof JsonTextError) throw new PolicyFileError(path, [{ ...error.place, message: error.message }])
    throw error
  }
}

function problemsOf(issue: z.core.$ZodIssue, placed: PlacedJson): PolicyProblem[] {
  const where = placed.placeOf(issue.path)
  const name = issue.path.length === 0 ? 'the policy' : issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path)
    return issue.keys.map((key) => ({
      ...placed.placeOfKey(issue.path, key),
      message: `there is no "${key}" here${meant(key, known)}`,
    }))
  }
  if (issue.code === 'invalid_value') {
    const known = issue.values.map(String)
    const given = valueAt(placed.value, issue.path)
    const guess = typeof given === 'string' ? meant(given, known) : ''
    return [{ ...where, message: `${name}: expected ${known.map((each) => `"${each}"`).join(', ')}${guess}` }]
  }
  if (issue.code === 'invalid_union') {
    const deepest = issue.errors.flat().toSorted((left, right) => right.path.length - left.path.length)[0]
    if (deepest !== undefined && (deepest.path.length > 0 || deepest.code === 'unrecognized_keys'))
      return problemsOf({ ...deepest, path: [...issue.path, ...deepest.path] }, placed)
    return [{ ...where, message: `${name}: expected "nothing", or what may leave and to whom` }]
  }
  const zone = issue.path.at(-1) === 'zone' ? meantZone(valueAt(placed.value, issue.path)) : ''
  return [{ ...where, message: `${name}: ${issue.message}${zone}` }]
}

function meantZone(given: unknown): string {
  return typeof given === 'string' ? meant(given, Intl.supportedValuesOf('timeZone')) : ''
}

function meant(word: string, known: readonly string[]): string {
  const guess = nearest(word, known)
  return guess === undefined ? '' : `; did you mean "${guess}"?`
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inside, key) => (inside as Record<PropertyKey, unknown> | null)?.[key], value)
}

/** The actions of which a condition can be so at all: in a rule for another one it would never be met. */
const SPEAKS_OF: Readonly<Record<string, readonly PolicyAction[]>> = {
  models: ['place', 'compute', 'fetch', 'route', 'train'],
  plans: ['train'],
  data: ['train', 'data'],
  budget: ['train'],
  minimum: ['train'],
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Groups that nobody has declared, and rules of one name; of what has other mistakes too, as far as it can be read. */
function wrongNames(placed: PlacedJson): PolicyProblem[] {
  const { groups: declared, egress, rules } = objectOf(placed.value)
  const groups = Object.keys(objectOf(declared))
  const problems: PolicyProblem[] = []
  const look = (names: unknown, path: readonly PropertyKey[]): void => {
    for (const [index, name] of listOf(names).entries()) {
      if (typeof name !== 'string' || !name.startsWith('@') || groups.includes(name.slice(1))) continue
      const message = `there is no group "${name}"${meant(name.slice(1), groups)}`
      problems.push({ ...placed.placeOf([...path, index]), message })
    }
  }
  for (const [kind, names] of Object.entries(objectOf(egress))) look(names, ['egress', kind])
  const seen = new Set<unknown>()
  for (const [index, value] of listOf(rules).entries()) {
    const rule = objectOf(value)
    for (const action of listOf(rule['allow'] ?? rule['deny'])) {
      const idle = Object.keys(rule).find((key) => isIdle(key, action))
      if (idle === undefined) continue
      const message = `"${String(action)}" knows nothing of "${idle}": give it a rule of its own`
      problems.push({ ...placed.placeOfKey(['rules', index], idle), message })
    }
    look(rule['peers'], ['rules', index, 'peers'])
    const { name } = rule
    if (typeof name !== 'string') continue
    if (seen.has(name))
      problems.push({ ...placed.placeOf(['rules', index, 'name']), message: `two rules are named "${name}"` })
    seen.add(name)
  }
  return problems
}

function isIdle(key: string, action: unknown): boolean {
  const known = POLICY_ACTIONS.find((one) => one === action)
  return known !== undefined && Object.hasOwn(SPEAKS_OF, key) && !SPEAKS_OF[key]!.includes(known)
}
