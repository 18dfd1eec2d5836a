/** Examples out of tables. */
import { resolve } from 'node:path'
import { fingerprints, isSame, numberOf, readCsv, readNumber, readTable, splitColumn } from '../../data/index.ts'
import type { CellField, CellSpec, ColumnSpec, SplitSpec, TableFiles } from '../../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { DataSpec, FeatureSpec, TargetSpec, TrainPlan } from '../plan/schema.ts'
import { fitFeature, rawValues } from './preprocess.ts'
import type { FittedFeature } from './preprocess.ts'
import { FIELD } from './types.ts'
import type { Examples, LoadNeeds } from './types.ts'

type CsvSpec = Extract<DataSpec, { kind: 'csv' }>

const DEFAULT_MISSING: readonly string[] = ['']

/**
 * @param fitted of a run that is over: its features as they were learnt, so that nothing is learnt from these rows
 * @throws PlanFieldError, and what `readTable` throws
 */
export async function loadTable(
  plan: TrainPlan,
  spec: CsvSpec,
  needs: LoadNeeds,
  split: SplitSpec,
  fitted?: readonly FittedFeature[],
  signal?: AbortSignal,
): Promise<Examples> {
  const files = filesOf(spec, needs.folder)
  const marks = await fingerprints(files.paths, signal)
  const features = plan.features ?? (await allColumns(plan, files, split))
  const targets = targetFields(plan, needs.planPath)
  const names = features.map(
    (_, index) => new Map((fitted?.[index]?.names ?? []).map((name, id) => [String(name), id])),
  )
  const cells = features.map((feature, index) => featureCell(feature, names[index]!, fitted !== undefined))
  const input: CellField = { name: FIELD.input, type: 'float32', cells, isVector: true }
  const request = { files, fields: [input, ...targets], split, seed: needs.seed }
  const table = await readTable({ ...request, memory: needs.memory, folder: needs.scratch }, signal)
  const { rows, parts, statistics } = table
  const learnt = statistics.get(FIELD.input)!
  const part = (index: Uint32Array): Examples['parts']['train'] => ({ rows, index })
  return {
    parts: { train: part(parts.train), validation: part(parts.validation), test: part(parts.test) },
    input: rows.fields[0]!,
    features:
      fitted ?? features.map((feature, index) => fitFeature(feature, learnt[index]!, [...names[index]!.keys()])),
    moments: learnt,
    outputs: plan.task === 'multiclass' ? classesOf(plan, needs.planPath) : 1,
    length: 1,
    files: marks,
    close: () => rows.close(),
  }
}

function filesOf(spec: CsvSpec, folder: string): TableFiles {
  const paths = typeof spec.path === 'string' ? [spec.path] : spec.path
  const columns = spec.columns?.map((column): ColumnSpec => (typeof column === 'string' ? { name: column } : column))
  return {
    paths: paths.map((path) => resolve(folder, path)),
    header: spec.header ?? true,
    separator: spec.separator,
    columns,
    missing: spec.missing ?? DEFAULT_MISSING,
  }
}

/** All but the target, and what the split looks at. */
async function allColumns({ target }: TrainPlan, files: TableFiles, split: SplitSpec): Promise<readonly FeatureSpec[]> {
  const taken = new Set([...(target === undefined ? [] : columnsOf(target)), splitColumn(split)])
  const names = files.header ? await headerOf(files) : (files.columns ?? []).map(({ name }) => name)
  return names.filter((name) => !taken.has(name)).map((column) => ({ column }))
}

async function headerOf({ paths, separator }: TableFiles): Promise<readonly string[]> {
  for await (const { cells } of readCsv(paths[0]!, separator === undefined ? {} : { separator })) return cells
  return []
}

function columnsOf(target: TargetSpec): readonly string[] {
  return 'time' in target ? [target.time, target.event] : [target.column]
}

/** @param isClosed no new ids */
function featureCell(
  { column, missing, values, ids }: FeatureSpec,
  names: Map<string, number>,
  isClosed: boolean,
): CellSpec {
  if (ids === true) return { column, missing, read: (cell) => idOf(cell, names, isClosed) }
  if (values === undefined) return { column, missing, read: readNumber, empty: NaN }
  const raw = rawValues(values)
  return {
    column,
    missing,
    empty: NaN,
    read: (cell) => {
      const at = values.findIndex((value) => isSame(cell, value))
      return raw[at] ?? `${JSON.stringify(cell.slice(0, 40))} is none of the declared values`
    },
  }
}

/** Numbers up to this one are exact in float32. */
const MOST_IDS = 2 ** 24

function idOf(cell: string, names: Map<string, number>, isClosed: boolean): number | string {
  const known = names.get(cell)
  if (known !== undefined) return known
  if (isClosed) return `${JSON.stringify(cell.slice(0, 40))} did not occur when the model was trained`
  if (names.size >= MOST_IDS) return `there are more than ${MOST_IDS} different ids`
  names.set(cell, names.size)
  return names.size - 1
}

function targetFields(plan: TrainPlan, planPath: string): CellField[] {
  const { target, task } = plan
  if (task === 'autoencoder' || task === 'ranking') return []
  const needed = (why: string): PlanFieldError => new PlanFieldError(planPath, 'target', why)
  if (target === undefined) throw needed('it is missing')
  const field = (name: string, type: CellField['type'], cell: CellSpec): CellField => ({
    name,
    type,
    cells: [cell],
    isVector: false,
  })
  if (task === 'survival') {
    if (!('time' in target)) throw needed('survival takes {"time","event"}')
    return [
      field(FIELD.time, 'float32', { column: target.time, read: readNumber }),
      field(FIELD.target, 'float32', { column: target.event, read: readBinary }),
    ]
  }
  if ('time' in target) throw needed(`${task} takes a column, not {"time","event"}`)
  const { column } = target
  if (task === 'regression') return [field(FIELD.target, 'float32', { column, read: readNumber })]
  if (task === 'binary') return [field(FIELD.target, 'float32', { column, read: binaryReader(target) })]
  return [field(FIELD.target, 'int64', { column, read: classReader(plan, target, planPath) })]
}

function readBinary(cell: string): number | string {
  const value = numberOf(cell)
  return value === 0 || value === 1 ? value : `${JSON.stringify(cell.slice(0, 40))} is neither 0 nor 1`
}

function binaryReader(target: Exclude<TargetSpec, { time: string }>): CellSpec['read'] {
  if ('above' in target) {
    return (cell) => {
      const value = readNumber(cell)
      return typeof value === 'string' ? value : Number(value > target.above)
    }
  }
  return 'equals' in target ? (cell) => Number(isSame(cell, target.equals)) : readBinary
}

function classReader(
  plan: TrainPlan,
  target: Exclude<TargetSpec, { time: string }>,
  planPath: string,
): CellSpec['read'] {
  const classes = classesOf(plan, planPath)
  if ('values' in target) {
    return (cell) => {
      const at = target.values.findIndex((value) => isSame(cell, value))
      return at < 0 ? `${JSON.stringify(cell.slice(0, 40))} is none of the declared classes` : at
    }
  }
  return (cell) => {
    const value = numberOf(cell)
    const isClass = value !== undefined && Number.isInteger(value) && value >= 0 && value < classes
    return isClass
      ? value
      : `the label ${JSON.stringify(cell.slice(0, 40))} is out of range: there are ${classes} classes`
  }
}

/** @throws PlanFieldError */
export function classesOf(plan: TrainPlan, planPath: string): number {
  if (plan.target !== undefined && 'values' in plan.target) return plan.target.values.length
  if (plan.classes !== undefined) return plan.classes
  throw new PlanFieldError(planPath, 'classes', `it is missing, and ${plan.task} needs it`)
}
