/** `--placement FILE|auto|local`: reads the file and checks its form; whether it fits the model, the pipeline says. */
import { readFile, stat } from 'node:fs/promises'
import type { PlacementFile, PlacementStage } from '../pipeline/index.ts'
import type { Flags } from './context.ts'
import { parseJsonText } from '../util/index.ts'
import { FileUnreadableError, PlacementMalformedError, UsageError } from './errors.ts'

/** 10^4 stages take less than this. */
const FILE_MAX = 4 * 2 ** 20

export async function placementOption(
  value: string | undefined,
  model: string,
): Promise<'auto' | 'local' | PlacementFile | undefined> {
  return value === undefined || value === 'auto' || value === 'local' ? value : readPlacement(value, model)
}

/**
 * What was given of `--placement` and `--local`, which asks no peer: the same as `--placement local`.
 * @throws UsageError where they contradict each other
 */
export function placementTexts(flags: Flags): readonly string[] {
  const text = flags.text('placement')
  const given = text === undefined ? flags.texts('placement') : [text]
  if (!flags.flag('local')) return given
  const other = given.find((value) => value !== 'local')
  if (other !== undefined) throw new UsageError(`--local and --placement ${other}: one of them`, 'local asks no peer')
  return ['local']
}

/** @throws FileUnreadableError, PlacementMalformedError */
export async function readPlacement(path: string, model: string): Promise<PlacementFile> {
  const text = await readText(path)
  let value: unknown
  try {
    value = parseJsonText(text)
  } catch (error) {
    throw new PlacementMalformedError(path, `it is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  const file = value as { model?: unknown; stages?: unknown; replicas?: unknown } | null
  if (typeof file !== 'object' || file === null) throw new PlacementMalformedError(path, 'it is no object')
  if (file.model !== undefined && file.model !== model) {
    throw new PlacementMalformedError(path, `it places ${JSON.stringify(file.model)}, not ${model}`)
  }
  if (!Array.isArray(file.stages) || file.stages.length === 0) {
    throw new PlacementMalformedError(path, '"stages" is no list, or empty')
  }
  const { replicas = [] } = file
  if (!Array.isArray(replicas)) throw new PlacementMalformedError(path, '"replicas" is no list')
  const read = (stages: readonly unknown[], what: string): PlacementStage[] =>
    stages.map((stage, index) => stageOf(path, stage, `${what} ${index}`))
  const spare = read(replicas, 'replica')
  return { model, stages: read(file.stages, 'stage'), ...(spare.length === 0 ? {} : { replicas: spare }) }
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > FILE_MAX) throw new PlacementMalformedError(path, `it has ${size} bytes, more than any placement`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw error instanceof PlacementMalformedError ? error : new FileUnreadableError(path, error)
  }
}

function stageOf(path: string, value: unknown, where: string): PlacementStage {
  const stage = value as Partial<Record<keyof PlacementStage, unknown>> | null
  if (typeof stage?.peer !== 'string' || stage.peer === '')
    throw new PlacementMalformedError(path, `${where} names no "peer"`)
  const { from, to } = stage
  if (!isBlock(from) || !isBlock(to))
    throw new PlacementMalformedError(path, `"from" and "to" of ${where} are no blocks`)
  if (to <= from) throw new PlacementMalformedError(path, `${where} is empty: from ${from} to ${to}`)
  return { peer: stage.peer, from, to }
}

function isBlock(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
