/** Examples out of arrays: .npz archives, IDX files, folders of images and sounds. Inputs and targets are read row by row. */
import { resolve } from 'node:path'
import {
  CellError,
  ColumnUnknownError,
  fingerprints,
  imageRows,
  listClasses,
  NoRowsError,
  NpzArchive,
  openIdx,
  PartLists,
  partOf,
  RowPacker,
  soundRows,
  splitColumn,
  TableMalformedError,
} from '../../data/index.ts'
import type { Keys, PartName, RowField, Rows, RowSource, SplitSpec } from '../../data/index.ts'
import { shown } from '../../onnx/index.ts'
import { LabelError, PlanFieldError, TrainedModelError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'
import { asFloats, asWholes, elementsOf, inFloat32, numberRows } from './array-rows.ts'
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
  const key = splitColumn(split)
  if (key !== undefined && spec.kind !== 'npz') {
    throw new PlanFieldError(needs.planPath, 'split', `${spec.kind} has no columns`)
  }
  const source = await sourceOf(spec, key, needs, signal)
  try {
    const { input, target, paths } = source
    const files = await fingerprints(paths, signal)
    if (input.count === 0 || elementsOf(input.dims) === 0) throw new NoRowsError(shown(paths[0]!))
    const hasClasses = plan.task === 'multiclass' || plan.task === 'language'
    const outputs = hasClasses ? (source.classes ?? classesOf(plan, needs.planPath)) : 1
    const path = paths.at(-1)!
    if (plan.task !== 'autoencoder') {
      if (target === undefined) throw new PlanFieldError(needs.planPath, 'data.target', 'it is missing')
      checkCount(source, 'target', target.count)
    }
    const isText = plan.task === 'language'
    const fields: Field[] = [
      { name: FIELD.input, source: isText ? tokenRows(input, outputs, paths[0]!) : finiteRows(input, paths[0]!) },
    ]
    if (plan.task !== 'autoencoder') {
      const labels = isText ? tokenRows(target!, outputs, path) : targetsOf(plan, target!, outputs, path)
      fields.push({ name: FIELD.target, source: labels })
    }
    const { keys } = source
    if (keys !== undefined) checkCount(source, 'keys', keys.count)
    const room = { ...needs, memory: needs.memory - (source.memory ?? 0) }
    const { rows, lists } = await packed({ fields, keys, split }, room, signal)
    const unpacked = source.unpacked?.() ?? 0
    return { ...parted(rows, lists), outputs, length: input.dims[0] ?? 1, files, unpacked }
  } finally {
    await source.close?.()
  }
}

interface Field {
  readonly name: string
  readonly source: RowSource
}

interface Packing {
  readonly fields: readonly Field[]
  /** What tells the rows apart for the split; else their numbers do. */
  readonly keys: Keys | undefined
  readonly split: SplitSpec
}

interface Packed {
  readonly rows: Rows
  readonly lists: Readonly<Record<PartName, Uint32Array>>
}

/** Fields side by side, in memory as far as it may go. @throws the errors of the sources and of the disk */
async function packed({ fields, keys, split }: Packing, needs: LoadNeeds, signal?: AbortSignal): Promise<Packed> {
  const forms = fields.map(({ name, source: { type, dims } }): RowField => ({ name, type, dims }))
  const packer = new RowPacker({ fields: forms, memory: needs.memory, folder: needs.scratch })
  const others = fields.slice(1).map(({ source }) => source.rows(signal)[Symbol.asyncIterator]())
  const texts = keys?.texts(signal)[Symbol.asyncIterator]()
  const parts = new PartLists()
  let place = 0
  try {
    for await (const row of fields[0]!.source.rows(signal)) {
      const beside = await Promise.all(others.map((rows) => rows.next()))
      await packer.add([row, ...beside.map(({ value }) => value as Uint8Array)])
      const key = texts === undefined ? `0/${place}` : ((await texts.next()).value as string)
      parts.add(partOf(split, place++, key, needs.seed))
    }
    // Each to its end, where what its file should be by its checksum is told.
    for (const rows of [...others, ...(texts === undefined ? [] : [texts])]) await rows.next()
    return { rows: await packer.finish(), lists: parts.finish() }
  } catch (error) {
    await packer.discard()
    throw error
  } finally {
    for (const rows of others) await rows.return?.()
    await texts?.return?.()
  }
}

/** Labels or groups of other examples than there are would be taken for theirs. */
function checkCount({ input, names }: Source, of: 'target' | 'keys', count: number): void {
  if (count === input.count) return
  const why = `it has ${count} ${of === 'target' ? 'labels' : 'rows'}, and ${names.input} has ${input.count} examples`
  throw new TableMalformedError(names[of], why, { examples: input.count, [of]: count })
}

function parted(rows: Rows, lists: Packed['lists']): Pick<Examples, 'parts' | 'input' | 'close'> {
  const part = (name: PartName): Examples['parts']['train'] => ({ rows, index: lists[name] })
  return {
    parts: { train: part('train'), validation: part('validation'), test: part('test') },
    input: rows.fields[0]!,
    close: () => rows.close(),
  }
}

interface Source {
  readonly input: RowSource
  readonly target?: RowSource
  readonly paths: readonly string[]
  /** As they may be printed. */
  readonly names: Readonly<Record<'input' | 'target' | 'keys', string>>
  /** Of the array that the split looks at. */
  readonly keys?: Keys | undefined
  /** As folders have them. */
  readonly classes?: number
  /** Bytes that its rows take while they are read. */
  readonly memory?: number
  /** Bytes that went through a file before they were rows. */
  readonly unpacked?: () => number
  close?(): Promise<void>
}

function sourceOf(spec: ArraySpec, key: string | undefined, needs: LoadNeeds, signal?: AbortSignal): Promise<Source> {
  const { folder } = needs
  if (spec.kind === 'npz') return fromNpz({ ...spec, key, path: resolve(folder, spec.path) }, needs, signal)
  if (spec.kind === 'idx') return fromIdx(resolve(folder, spec.images), resolve(folder, spec.labels))
  return fromFolder(spec, folder)
}

async function fromFolder(spec: FolderSpec, folder: string): Promise<Source> {
  const path = resolve(folder, spec.path)
  const found = await listClasses(path, spec.kind === 'wav' ? /\.wav$/i : /\.(?:png|jpe?g|pgm|ppm)$/i, spec.classes)
  const { files, classes } = found
  if (files.length === 0) throw new NoRowsError(shown(path))
  const input =
    spec.kind === 'wav' ? soundRows(found, spec.rate, Math.round(spec.rate * spec.seconds)) : await imageRows(found)
  const target = numberRows(files.length, (row) => files[row]!.label)
  const names = { input: shown(path), target: shown(path), keys: '' }
  return { input, target, names, paths: files.map((file) => file.path), classes: classes.length }
}

/** Of the memory for rows, what each array may take whose rows do not lie one behind the other. */
const ACROSS_SHARE = 1 / 8

interface NpzRequest {
  /** Absolute. */
  readonly path: string
  /** Names of arrays. */
  readonly input: string
  readonly target?: string | undefined
  readonly key: string | undefined
}

async function fromNpz(
  { path, input: inputName, target: targetName, key }: NpzRequest,
  { memory, scratch }: LoadNeeds,
  signal?: AbortSignal,
): Promise<Source> {
  const archive = await NpzArchive.open(path)
  const room = { memory: memory * ACROSS_SHARE, folder: scratch }
  const named = (name: string): string => {
    if (!archive.names.includes(name)) throw new ColumnUnknownError(path, name, archive.names)
    return name
  }
  const rowsOf = async (name: string): Promise<RowSource> => {
    const rows = await archive.rows(named(name), room, signal)
    if (rows === undefined) throw new TrainedModelError(`the array ${shown(name)} holds texts, or has no rows`)
    return rows
  }
  try {
    const input = inFloat32(await rowsOf(inputName))
    const target = targetName === undefined ? {} : { target: await rowsOf(targetName) }
    const keys = key === undefined ? undefined : await archive.keys(named(key), room, signal)
    if (key !== undefined && keys === undefined) throw new TrainedModelError(`${shown(key)} has not one value a row`)
    const close = (): Promise<void> => archive.close()
    const held = archive.across * room.memory
    const where = (name = ''): string => `${shown(name)} of ${shown(path)}`
    const names = { input: shown(inputName), target: where(targetName), keys: where(key) }
    return { input, ...target, keys, names, paths: [path], memory: held, unpacked: () => archive.unpacked, close }
  } catch (error) {
    await archive.close()
    throw error
  }
}

/** Grey images get their one channel. */
async function fromIdx(images: string, labels: string): Promise<Source> {
  const [input, target] = [await openIdx(images), await openIdx(labels)]
  const { dims } = input
  const names = { input: shown(images), target: shown(labels), keys: '' }
  return { input: dims.length === 2 ? { ...input, dims: [1, ...dims] } : input, target, names, paths: [images, labels] }
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
  return asWholes(source, (row, numbers) => {
    const wrong = numbers.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary)
    if (wrong !== undefined) throw new LabelError(shown(path), row, wrong, vocabulary)
  })
}

/** int64 classes, or float32 numbers, one a row: they throw LabelError and CellError. @throws TrainedModelError */
function targetsOf(plan: TrainPlan, source: RowSource, classes: number, path: string): RowSource {
  const { dims } = source
  if (elementsOf(dims) !== 1) throw new TrainedModelError(`a target has the shape [${dims.join(', ')}]`)
  const one = { ...source, dims: [] }
  if (plan.task !== 'multiclass' && plan.task !== 'binary') {
    return asFloats(one, (row, [value]) => {
      if (!Number.isFinite(value)) throw new CellError(path, row, 'target', `${value} is not finite`)
    })
  }
  const most = plan.task === 'binary' ? 2 : classes
  const check = (row: number, [label = NaN]: readonly number[]): void => {
    const isLabel = Number.isInteger(label) && label >= 0 && label < most
    if (!isLabel) throw new LabelError(shown(path), row, label, most)
  }
  return plan.task === 'multiclass' ? asWholes(one, check) : asFloats(one, check)
}
