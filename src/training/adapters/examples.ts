/** Examples for an adapter: windows of the base model's tokens. */
import { resolve } from 'node:path'
import { fingerprint, NoRowsError, partOf, readTokens } from '../../data/index.ts'
import type { PartName, SplitSpec } from '../../data/index.ts'
import type { Tokenizer } from '../../models/index.ts'
import type { Examples, LoadNeeds } from '../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'

const ALL_TRAIN: SplitSpec = { share: { test: 0 } }
const ALL_TEST: SplitSpec = { share: { test: 1 } }

/** @throws PlanFieldError, NoRowsError, and the errors of the files */
export async function loadTokenExamples(
  plan: TrainPlan,
  tokenizer: Tokenizer,
  needs: LoadNeeds,
  signal?: AbortSignal,
): Promise<Examples> {
  const main = await load(plan.data, plan.split ?? ALL_TRAIN, tokenizer, needs, signal)
  if (plan.test === undefined) return main
  const test = await load(plan.test, ALL_TEST, tokenizer, needs, signal)
  return {
    ...main,
    parts: { ...main.parts, test: test.parts.test },
    files: [...main.files, ...test.files],
    close: async () => {
      await main.close()
      await test.close()
    },
  }
}

async function load(
  spec: DataSpec,
  split: SplitSpec,
  tokenizer: Tokenizer,
  needs: LoadNeeds,
  signal?: AbortSignal,
): Promise<Examples> {
  if (spec.kind !== 'text') throw new PlanFieldError(needs.planPath, 'data.kind', 'a language model takes "text"')
  if ('column' in split || ('share' in split && split.group !== undefined)) {
    throw new PlanFieldError(needs.planPath, 'split', 'texts have no columns')
  }
  const paths = (typeof spec.path === 'string' ? [spec.path] : spec.path).map((path) => resolve(needs.folder, path))
  const files = await Promise.all(paths.map((path) => fingerprint(path, signal)))
  const { length, field = 'text' } = spec
  const [end = null] = tokenizer.endTokens
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addBos: false, addEos: false })
  const request = { paths, field, length, memory: needs.memory, folder: needs.scratch, encode, end }
  const rows = await readTokens(request, signal)
  if (rows.count === 0) throw new NoRowsError(`a text of at least ${length + 1} tokens`)
  const lists: Record<PartName, number[]> = { train: [], validation: [], test: [] }
  for (let row = 0; row < rows.count; row++) lists[partOf(split, row, `0/${row}`, needs.seed)].push(row)
  const part = (name: PartName): Examples['parts']['train'] => ({ rows, index: Uint32Array.from(lists[name]) })
  return {
    parts: { train: part('train'), validation: part('validation'), test: part('test') },
    input: rows.fields[0]!,
    outputs: tokenizer.vocabulary,
    length,
    files,
    close: () => rows.close(),
  }
}
