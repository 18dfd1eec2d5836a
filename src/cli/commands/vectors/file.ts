/** The file of cases: anything wrong with it is one error; what is wrong with a case is the case's own result. */
import { readFile, stat } from 'node:fs/promises'
import { parseJsonText } from '../../../util/index.ts'
import { reasonOf, UsageError } from '../../errors.ts'
import type { VectorCase } from './suite.ts'

/** Megabytes of hex; whoever has more can make two files of it. */
const MAX_FILE_BYTES = 256 << 20
const SCHEMA = 'weft.vectors/1'

/** @throws UsageError (exit status 2) when the file cannot be used */
export async function readCases(path: string | undefined, suite: string): Promise<readonly VectorCase[]> {
  if (path === undefined) throw new UsageError('weft vectors needs --in FILE', `usage: weft vectors ${suite} --in FILE`)
  const value = parse(path, await read(path))
  if (!isObject(value)) throw unusable(path, 'it is no object')
  if (value['schema'] !== SCHEMA) throw unusable(path, `its schema is not ${SCHEMA}`)
  if (value['suite'] !== undefined && value['suite'] !== suite) {
    throw unusable(path, `its suite is ${JSON.stringify(value['suite'])}, not ${suite}`)
  }
  const { cases } = value
  if (!Array.isArray(cases)) throw unusable(path, '"cases" is no list')
  return cases.map((one: unknown, index) => {
    if (!isObject(one)) throw unusable(path, `case ${index} is no object`)
    if (typeof one['id'] !== 'string' && typeof one['id'] !== 'number')
      throw unusable(path, `case ${index} has no "id"`)
    return one
  })
}

async function read(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size <= MAX_FILE_BYTES) return await readFile(path, 'utf8')
  } catch (error) {
    throw unusable(path, reasonOf(error))
  }
  throw unusable(path, `it has more than ${MAX_FILE_BYTES} bytes`)
}

function parse(path: string, text: string): unknown {
  try {
    return parseJsonText(text)
  } catch (error) {
    throw unusable(path, `it is no JSON: ${reasonOf(error)}`)
  }
}

function unusable(path: string, why: string): UsageError {
  return new UsageError(
    `${path} is no file of cases: ${why}`,
    `it looks like {"schema":"${SCHEMA}","suite":"weights","cases":[{"id":"1",…}]}`,
    { path, why },
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
