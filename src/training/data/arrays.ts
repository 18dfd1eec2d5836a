/** Examples out of arrays: .npz archives, IDX files, folders of images and sounds. They are read row by row. */
import { resolve } from 'node:path'
import {
  CellError,
  ColumnUnknownError,
  fingerprint,
  imageRows,
  listClasses,
  NoRowsError,
  NpzArchive,
  openIdx,
  partOf,
  readIdx,
  RowPacker,
  soundRows,
  TableMalformedError,
} from '../../data/index.ts'
import type { PartName, RowField, Rows, RowSource, SplitSpec } from '../../data/index.ts'
import { shown } from '../../onnx/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { LabelError, PlanFieldError, TrainedModelError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'
import { elementsOf, inFloat32, inWholes, tensorRows } from './array-rows.ts'
import { classesOf } from './table.ts'
import { FIELD } from './types.ts'
import type { Examples, LoadNeeds } from './types.ts'

type ArraySpec = Extract<DataSpec, { kind: 'npz' | 'idx' | 'images' | 'wav' }>
type FolderSpec = Extract<ArraySpec, { kind: 'images' | 'wav' }>

/** @throws PlanFieldError, LabelError, CellError, TrainedModelError, and the errors of the files */
export async function loadArrays(
  plan: TrainPlan,
  spec: ArraySpec,
  needs: LoadNeeds,
  split: SplitSpec,
  signal?: AbortSignal,
): Promise<Examples> {
  if ('column' in split || ('share' in split && split.group !== undefined)) {
    throw new PlanFieldError(needs.planPath, 'split', `${spec.kind} has no columns`)
  }
  const source = await sourceOf(spec, needs.folder)
  try {
    const { input, target, paths } = source
    const files = await Promise.all(paths.map((path) => fingerprint(path, signal)))
    if (input.count === 0 || elementsOf(input.dims) === 0) throw new NoRowsError(shown(paths[0]!))
    const hasClasses = plan.task === 'multiclass' || plan.task === 'language'
    const outputs = hasClasses ? (source.classes ?? classesOf(plan, needs.planPath)) : 1
    const path = paths.at(-1)!
    if (plan.task !== 'autoencoder') {
      if (target === undefined) throw new PlanFieldError(needs.planPath, 'data.target', 'it is missing')
      if (target.dims[0] !== input.count) throw unequal(spec, paths, input.count, target.dims[0] ?? 0)
    }
    const isText = plan.task === 'language'
    const fields: Field[] = [
      { name: FIELD.input, source: isText ? tokenRows(input, outputs, paths[0]!) : finiteRows(input, paths[0]!) },
    ]
    if (plan.task !== 'autoencoder') {
      const labels = isText
        ? tokenRows(tensorRows(target!), outputs, path)
        : tensorRows(targetsOf(plan, target!, outputs, path))
      fields.push({ name: FIELD.target, source: labels })
    }
    const rows = await packed(fields, needs, signal)
    return { ...parted(rows, split, needs.seed), outputs, length: input.dims[0] ?? 1, files }
  } finally {
    source.close?.()
  }
}

interface Field {
  readonly name: string
  readonly source: RowSource
}

/** Fields side by side, in memory as far as it may go. @throws the errors of the sources and of the disk */
async function packed(fields: readonly Field[], needs: LoadNeeds, signal?: AbortSignal): Promise<Rows> {
  const forms = fields.map(({ name, source: { type, dims } }): RowField => ({ name, type, dims }))
  const packer = new RowPacker({ fields: forms, memory: needs.memory, folder: needs.scratch })
  const others = fields.slice(1).map(({ source }) => source.rows(signal)[Symbol.asyncIterator]())
  try {
    for await (const row of fields[0]!.source.rows(signal)) {
      const beside = await Promise.all(others.map((rows) => rows.next()))
      await packer.add([row, ...beside.map(({ value }) => value as Uint8Array)])
    }
    return await packer.finish()
  } catch (error) {
    await packer.discard()
    throw error
  } finally {
    for (const rows of others) await rows.return?.()
  }
}

/** Labels of other examples than there are would be taken for theirs. */
function unequal(spec: ArraySpec, paths: readonly string[], count: number, labels: number): TableMalformedError {
  const isArchive = spec.kind === 'npz'
  const [inputs, targets] = isArchive ? [spec.input, spec.target ?? ''] : [paths[0]!, paths.at(-1)!]
  const where = isArchive ? `${shown(targets)} of ${shown(paths[0]!)}` : shown(targets)
  return new TableMalformedError(where, `it has ${labels} labels, and ${shown(inputs)} has ${count} examples`, {
    examples: count,
    labels,
  })
}

function parted(rows: Rows, split: SplitSpec, seed: number): Pick<Examples, 'parts' | 'input' | 'close'> {
  const lists: Record<PartName, number[]> = { train: [], validation: [], test: [] }
  for (let row = 0; row < rows.count; row++) lists[partOf(split, row, `0/${row}`, seed)].push(row)
  const part = (name: PartName): Examples['parts']['train'] => ({ rows, index: Uint32Array.from(lists[name]) })
  return {
    parts: { train: part('train'), validation: part('validation'), test: part('test') },
    input: rows.fields[0]!,
    close: () => rows.close(),
  }
}

interface Source {
  readonly input: RowSource
  readonly target?: Tensor
  readonly paths: readonly string[]
  /** As folders have them. */
  readonly classes?: number
  close?(): void
}

function sourceOf(spec: ArraySpec, folder: string): Promise<Source> {
  if (spec.kind === 'npz') return fromNpz(spec, resolve(folder, spec.path))
  if (spec.kind === 'idx') return fromIdx(resolve(folder, spec.images), resolve(folder, spec.labels))
  return fromFolder(spec, folder)
}

async function fromFolder(spec: FolderSpec, folder: string): Promise<Source> {
  const path = resolve(folder, spec.path)
  const found = await listClasses(path, spec.kind === 'wav' ? /\.wav$/i : /\.(?:png|jpe?g|pgm|ppm)$/i)
  const { files, classes } = found
  if (files.length === 0) throw new NoRowsError(shown(path))
  const input =
    spec.kind === 'wav' ? soundRows(found, spec.rate, Math.round(spec.rate * spec.seconds)) : await imageRows(found)
  const target: Tensor = { type: 'int32', dims: [files.length], data: Int32Array.from(files, ({ label }) => label) }
  return { input, target, paths: files.map((file) => file.path), classes: classes.length }
}

/** Targets are read whole: one number a row, or a text's tokens. */
async function fromNpz(spec: Extract<ArraySpec, { kind: 'npz' }>, path: string): Promise<Source> {
  const archive = await NpzArchive.open(path)
  const named = (name: string): string => {
    if (archive.names.includes(name)) return name
    throw new ColumnUnknownError(path, name, archive.names)
  }
  try {
    const [input, target] = [named(spec.input), spec.target === undefined ? undefined : named(spec.target)]
    const rows = (await archive.rows(input)) ?? tensorRows(numeric(await archive.array(input), input))
    const close = (): void => archive.close()
    if (target === undefined) return { input: inFloat32(rows), paths: [path], close }
    return { input: inFloat32(rows), target: numeric(await archive.array(target), target), paths: [path], close }
  } catch (error) {
    archive.close()
    throw error
  }
}

function numeric(tensor: AnyTensor, name: string): Tensor {
  if (tensor.type === 'string') throw new TrainedModelError(`the array ${shown(name)} holds texts`)
  return tensor
}

/** Grey images get their one channel. */
async function fromIdx(images: string, labels: string): Promise<Source> {
  const [input, target] = [await openIdx(images), await readIdx(labels)]
  const { dims } = input
  return { input: dims.length === 2 ? { ...input, dims: [1, ...dims] } : input, target, paths: [images, labels] }
}

/** @returns the same rows, whose numbers are looked at as they come: they throw CellError */
function finiteRows(source: RowSource, path: string): RowSource {
  if (source.type !== 'float32') return source
  async function* rows(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let row = 0
    for await (const bytes of source.rows(signal)) {
      const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
      const odd = values.findIndex((value) => !Number.isFinite(value))
      if (odd >= 0) throw new CellError(path, row, placeIn(source.dims, odd), `${values[odd]} is not finite`)
      yield bytes
      row++
    }
  }
  return { ...source, rows }
}

/** Of a row that has several dimensions, the place along each: "2, 0, 14". */
function placeIn(dims: readonly number[], at: number): string {
  const places = dims.map((size, axis) => {
    const below = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1)
    return Math.floor(at / below) % size
  })
  return places.length === 0 ? '0' : places.join(', ')
}

/** int64 [length] a row: they throw LabelError. */
function tokenRows(source: RowSource, vocabulary: number, path: string): RowSource {
  return inWholes(source, (row, numbers) => {
    const wrong = numbers.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary)
    if (wrong !== undefined) throw new LabelError(shown(path), row, wrong, vocabulary)
  })
}

/** int64 classes, or float32 numbers, one a row. @throws LabelError, CellError */
function targetsOf(plan: TrainPlan, { dims, data }: Tensor, classes: number, path: string): Tensor {
  const count = dims[0]!
  if (data.length !== count) throw new TrainedModelError(`a target has the shape [${dims.slice(1).join(', ')}]`)
  const numbers = Array.from(data, Number)
  if (plan.task === 'multiclass' || plan.task === 'binary') {
    const most = plan.task === 'binary' ? 2 : classes
    const wrong = numbers.findIndex((label) => !Number.isInteger(label) || label < 0 || label >= most)
    if (wrong >= 0) throw new LabelError(shown(path), wrong, numbers[wrong]!, most)
    if (plan.task === 'multiclass') return { type: 'int64', dims: [count], data: BigInt64Array.from(numbers, BigInt) }
  }
  const odd = numbers.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0) throw new CellError(path, odd, 'target', `${numbers[odd]} is not finite`)
  return { type: 'float32', dims: [count], data: Float32Array.from(numbers) }
}
