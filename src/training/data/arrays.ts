/** Examples out of whole arrays: .npz archives and IDX files. */
import { resolve } from 'node:path'
import {
  arrayRows,
  CellError,
  ColumnUnknownError,
  fingerprint,
  listClasses,
  NoRowsError,
  partOf,
  readIdx,
  readImages,
  readNpz,
  readSounds,
  TableMalformedError,
} from '../../data/index.ts'
import type { Batch, PartName, SplitSpec } from '../../data/index.ts'
import { shown } from '../../onnx/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { LabelError, PlanFieldError, TrainedModelError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'
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
  const isFolder = spec.kind === 'images' || spec.kind === 'wav'
  const source = isFolder ? await fromFolder(spec, needs.folder) : await fromFiles(spec, needs.folder)
  const { input, target, paths } = source
  const files = await Promise.all(paths.map((path) => fingerprint(path, signal)))
  const count = input.dims[0] ?? 0
  if (count === 0) throw new NoRowsError(shown(paths[0]!))
  checkFinite(input, paths[0]!)
  const hasClasses = plan.task === 'multiclass' || plan.task === 'language'
  const outputs = hasClasses ? (source.classes ?? classesOf(plan, needs.planPath)) : 1
  const taken = plan.task === 'language' ? tokensOf(input, outputs, paths[0]!) : input
  const tensors: Record<string, Tensor> = { [FIELD.input]: taken }
  if (plan.task !== 'autoencoder') {
    if (target === undefined) throw new PlanFieldError(needs.planPath, 'data.target', 'it is missing')
    const path = paths.at(-1)!
    if (target.dims[0] !== count) throw unequal(spec, paths, count, target.dims[0] ?? 0)
    tensors[FIELD.target] =
      plan.task === 'language' ? tokensOf(target, outputs, path) : targetsOf(plan, target, outputs, path)
  }
  return { ...parted(tensors, split, needs.seed), outputs, length: input.dims[1] ?? 1, files }
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

function parted(tensors: Batch, split: SplitSpec, seed: number): Pick<Examples, 'parts' | 'input' | 'close'> {
  const rows = arrayRows(tensors)
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
  readonly input: Tensor
  readonly target?: Tensor
  readonly paths: readonly string[]
  /** As folders have them. */
  readonly classes?: number
}

async function fromFiles(spec: Exclude<ArraySpec, FolderSpec>, folder: string): Promise<Source> {
  const names = spec.kind === 'npz' ? [spec.path] : [spec.images, spec.labels]
  const paths = names.map((path) => resolve(folder, path))
  return { ...(spec.kind === 'npz' ? await fromNpz(spec, paths[0]!) : await fromIdx(paths)), paths }
}

async function fromFolder(spec: FolderSpec, folder: string): Promise<Source> {
  const path = resolve(folder, spec.path)
  const found = await listClasses(path, spec.kind === 'wav' ? /\.wav$/i : /\.(?:png|jpe?g|pgm|ppm)$/i)
  const { files, classes } = found
  if (files.length === 0) throw new NoRowsError(shown(path))
  const input =
    spec.kind === 'wav'
      ? await readSounds(found, spec.rate, Math.round(spec.rate * spec.seconds))
      : await readImages(found)
  const target: Tensor = { type: 'int32', dims: [files.length], data: Int32Array.from(files, ({ label }) => label) }
  return { input, target, paths: files.map((file) => file.path), classes: classes.length }
}

async function fromNpz(
  spec: Extract<ArraySpec, { kind: 'npz' }>,
  path: string,
): Promise<{ readonly input: Tensor; readonly target?: Tensor }> {
  const arrays = await readNpz(path)
  const input = numeric(named(arrays, spec.input, path), spec.input)
  if (spec.target === undefined) return { input }
  return { input, target: numeric(named(arrays, spec.target, path), spec.target) }
}

function named(arrays: ReadonlyMap<string, AnyTensor>, name: string, path: string): AnyTensor {
  const found = arrays.get(name)
  if (found === undefined) throw new ColumnUnknownError(path, name, [...arrays.keys()])
  return found
}

function numeric(tensor: AnyTensor, name: string): Tensor {
  if (tensor.type === 'string') throw new TrainedModelError(`the array ${shown(name)} holds texts`)
  if (tensor.type === 'float64')
    return { ...tensor, type: 'float32', data: Float32Array.from(tensor.data as Float64Array) }
  return tensor
}

/** Grey images get their one channel. */
async function fromIdx(paths: readonly string[]): Promise<{ readonly input: Tensor; readonly target: Tensor }> {
  const [images, target] = [await readIdx(paths[0]!), await readIdx(paths[1]!)]
  const [count = 0, ...rest] = images.dims
  const input = rest.length === 2 ? { ...images, dims: [count, 1, ...rest] } : images
  return { input, target }
}

function checkFinite({ type, dims, data }: Tensor, path: string): void {
  if (type !== 'float32') return
  const values = data as Float32Array
  for (let at = 0; at < values.length; at++) {
    if (Number.isFinite(values[at])) continue
    const size = dims.slice(1).reduce((product, dim) => product * dim, 1)
    throw new CellError(path, Math.floor(at / size), placeIn(dims.slice(1), at % size), `${values[at]} is not finite`)
  }
}

/** Of a row that has several dimensions, the place along each: "2, 0, 14". */
function placeIn(dims: readonly number[], at: number): string {
  const places = dims.map((size, axis) => {
    const below = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1)
    return Math.floor(at / below) % size
  })
  return places.length === 0 ? '0' : places.join(', ')
}

/** int64 [rows, length]. @throws LabelError */
function tokensOf({ dims, data }: Tensor, vocabulary: number, path: string): Tensor {
  const numbers = Array.from(data, Number)
  const wrong = numbers.findIndex((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary)
  if (wrong >= 0) {
    const length = dims.slice(1).reduce((product, size) => product * size, 1)
    throw new LabelError(shown(path), Math.floor(wrong / length), numbers[wrong]!, vocabulary)
  }
  return { type: 'int64', dims, data: BigInt64Array.from(numbers, BigInt) }
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
