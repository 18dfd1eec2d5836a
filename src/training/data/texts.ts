/** Examples out of texts: windows of bytes, or of tokens. */
import { resolve } from 'node:path'
import { fingerprints, NoRowsError, readTexts, rowParts } from '../../data/index.ts'
import type { PartName, Rows, SplitSpec, TextRequest } from '../../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'
import type { Examples, LoadNeeds } from './types.ts'

type TextSpec = Extract<DataSpec, { kind: 'text' }>

/** What a text is cut into. */
export interface TextReader {
  readonly unit: 'bytes' | 'tokens'
  /** As many kinds of them as there are. */
  readonly outputs: number
  read(request: TextRequest, signal?: AbortSignal): Promise<Rows>
}

const BYTES: TextReader = { unit: 'bytes', outputs: 256, read: readTexts }

/** @throws PlanFieldError, and the errors of the files */
export async function loadTexts(
  plan: TrainPlan,
  spec: TextSpec,
  needs: LoadNeeds,
  split: SplitSpec,
  signal?: AbortSignal,
): Promise<Examples> {
  if (plan.task !== 'language') throw new PlanFieldError(needs.planPath, 'task', 'texts are for "language"')
  return loadWindows(spec, needs, split, BYTES, signal)
}

/** @throws PlanFieldError, NoRowsError, and the errors of the files */
export async function loadWindows(
  spec: TextSpec,
  needs: LoadNeeds,
  split: SplitSpec,
  reader: TextReader,
  signal?: AbortSignal,
): Promise<Examples> {
  if ('column' in split || ('share' in split && split.group !== undefined)) {
    throw new PlanFieldError(needs.planPath, 'split', 'texts have no columns')
  }
  const paths = (typeof spec.path === 'string' ? [spec.path] : spec.path).map((path) => resolve(needs.folder, path))
  const files = await fingerprints(paths, signal)
  const { length, field = 'text' } = spec
  const rows = await reader.read({ paths, field, length, memory: needs.memory, folder: needs.scratch }, signal)
  if (rows.count === 0) throw new NoRowsError(`a text of at least ${length + 1} ${reader.unit}`)
  const lists = rowParts(split, rows.count, needs.seed)
  const part = (name: PartName): Examples['parts']['train'] => ({ rows, index: lists[name] })
  return {
    parts: { train: part('train'), validation: part('validation'), test: part('test') },
    input: rows.fields[0]!,
    outputs: reader.outputs,
    length,
    files,
    close: () => rows.close(),
  }
}
