/**
 * What of JSON Schema an answer can be held to, checked before anything is made of it: a keyword that the engine would
 * pass over is refused here, since the answer would not be what was asked for, and so is what takes it too long.
 */
import { AnswerFormatError } from './errors.ts'

/** Characters of a schema as JSON: beyond it a head's control map would have no room for the rest. */
export const MAX_SCHEMA_TEXT = 32_768
const MAX_DEPTH = 24
const MAX_NODES = 2_000
/** Each repetition becomes a rule of its own in the engine: 20,000 of them take it seconds. */
const MAX_REPETITIONS = 1_000
const MAX_PATTERN = 512
const MAX_ENUM = 1_000

/** Quotes, backslashes, and classes that have them: the engine writes what a pattern matches as it is. */
const BEYOND_STRINGS = /["]|\\[\\WDSnrtfvbucx0]|\[\^|(?<!\\)\./

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
type JsonObject = { readonly [key: string]: Json }

/** They say something to people; what is no format in the engine's eyes is an annotation, as JSON Schema has it. */
const ANNOTATIONS = [
  'title',
  'description',
  'default',
  'examples',
  '$schema',
  '$id',
  '$comment',
  'deprecated',
  'strict',
  'format',
]
const TYPES: ReadonlySet<Json> = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'])

/** What each keyword may hold; the schemas inside it are returned to be checked in turn. */
type Rule = (value: Json, where: string) => readonly (readonly [where: string, schema: Json])[]

const RULES: Readonly<Record<string, Rule>> = {
  type: (value, where) => {
    const all = Array.isArray(value) ? (value as readonly Json[]) : [value]
    if (all.length === 0 || !all.every((one) => TYPES.has(one)))
      throw new AnswerFormatError(where, 'is no type of JSON')
    return []
  },
  properties: schemasByName,
  $defs: schemasByName,
  definitions: schemasByName,
  required: (value, where) => {
    if (!isList(value) || !value.every((one) => typeof one === 'string'))
      throw new AnswerFormatError(where, 'is no list of names')
    return []
  },
  additionalProperties: oneSchema,
  items: oneSchema,
  prefixItems: schemas,
  anyOf: schemas,
  oneOf: schemas,
  allOf: (value, where) => {
    if (!isList(value) || value.length !== 1)
      throw new AnswerFormatError(where, 'more than one schema cannot hold at once')
    return schemas(value, where)
  },
  enum: (value, where) => {
    if (!isList(value) || value.length === 0 || value.length > MAX_ENUM)
      throw new AnswerFormatError(where, `is no list of 1 to ${MAX_ENUM} values`)
    return []
  },
  const: () => [],
  $ref: (value, where) => {
    if (typeof value !== 'string' || !/^#(?:\/[\w$~.-]+)*$/.test(value))
      throw new AnswerFormatError(where, 'only a place in this schema can be referred to (#/$defs/name)')
    return []
  },
  pattern: (value, where) => {
    if (typeof value !== 'string' || value.length > MAX_PATTERN)
      throw new AnswerFormatError(where, `is no pattern of at most ${MAX_PATTERN} characters`)
    if (BEYOND_STRINGS.test(value))
      throw new AnswerFormatError(
        where,
        'may match what a JSON string cannot hold as it is: name the characters it may have',
      )
    return []
  },
  minItems: repetitions,
  maxItems: repetitions,
  minLength: repetitions,
  maxLength: repetitions,
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
}

/** The schema as text for the engine. @throws AnswerFormatError */
export function checkedSchema(schema: unknown): string {
  const text = JSON.stringify(schema) as string | undefined
  if (text === undefined || (typeof schema !== 'object' && typeof schema !== 'boolean') || schema === null)
    throw new AnswerFormatError('', 'a schema is an object')
  if (text.length > MAX_SCHEMA_TEXT)
    throw new AnswerFormatError('', `the schema has ${text.length} characters, more than ${MAX_SCHEMA_TEXT}`)
  const root = JSON.parse(text) as Json
  let nodes = 0
  const walk = (value: Json, where: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw new AnswerFormatError(where, `is deeper than ${MAX_DEPTH} levels`)
    if (++nodes > MAX_NODES) throw new AnswerFormatError(where, `more than ${MAX_NODES} schemas in one`)
    for (const [inner, place] of keywords(root, value, where)) walk(inner, place, depth + 1)
  }
  walk(root, '', 0)
  return text
}

function keywords(root: Json, schema: Json, where: string): (readonly [Json, string])[] {
  if (typeof schema === 'boolean') return []
  if (!isObject(schema)) throw new AnswerFormatError(where, 'is no schema')
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const place = where === '' ? keyword : `${where}.${keyword}`
    if (ANNOTATIONS.includes(keyword)) return []
    const rule = Object.hasOwn(RULES, keyword) ? RULES[keyword] : undefined
    if (rule === undefined) throw new AnswerFormatError(place, 'answers cannot be held to this keyword')
    if (keyword === '$ref' && typeof value === 'string') resolveReference(root, value, place)
    return rule(value, place).map(([inside, inner]) => [inner, inside] as const)
  })
}

/** @throws AnswerFormatError when nothing stands there */
function resolveReference(root: Json, reference: string, where: string): void {
  let at: Json | undefined = root
  for (const part of reference.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    at = at !== undefined && isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined
  }
  if (at === undefined) throw new AnswerFormatError(where, `nothing stands at ${reference}`)
}

function schemasByName(value: Json, where: string): (readonly [string, Json])[] {
  if (!isObject(value)) throw new AnswerFormatError(where, 'is no object of schemas')
  return Object.entries(value).map(([name, schema]) => [`${where}.${name}`, schema] as const)
}

function schemas(value: Json, where: string): (readonly [string, Json])[] {
  if (!isList(value) || value.length === 0) throw new AnswerFormatError(where, 'is no list of schemas')
  return value.map((schema, index) => [`${where}[${index}]`, schema] as const)
}

function oneSchema(value: Json, where: string): (readonly [string, Json])[] {
  return [[where, value]]
}

function repetitions(value: Json, where: string): [] {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > MAX_REPETITIONS)
    throw new AnswerFormatError(where, `is no whole number from 0 to ${MAX_REPETITIONS}`)
  return []
}

function number(value: Json, where: string): [] {
  if (typeof value !== 'number') throw new AnswerFormatError(where, 'is no number')
  return []
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
