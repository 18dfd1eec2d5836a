/** Inputs held against what a model declares, before anything runs. */
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { AnyTensor, Dimension, PlannedValue } from '../../onnx/index.ts'
import { GraphInputError, GraphRequestError } from './errors.ts'
import type { Tensors } from './tensors.ts'

type Shape = readonly Dimension[] | null

/** What a model takes, on one line. */
export function wants(inputs: readonly PlannedValue[]): string {
  return inputs.length === 0
    ? 'no inputs'
    : inputs.map(({ name, type, shape }) => `${shown(name)} ${type}${shapeText(shape)}`).join(', ')
}

function shapeText(shape: Shape): string {
  if (shape === null) return ' of any shape'
  return `[${shape.map((size) => (isFree(size) ? (size === null || size === '' ? '?' : String(size)) : size)).join(', ')}]`
}

/** Some exporters write -1 for a size that is free. */
export function isFree(size: Dimension): boolean {
  return typeof size !== 'number' || size < 0
}

/** What the engine's binding (1.30) does not pass can be inside of a model, and not at its ends. @throws GraphRequestError */
export function checkEnds(inputs: readonly PlannedValue[], outputs: readonly PlannedValue[]): void {
  const passes = ({ type }: PlannedValue): boolean =>
    type === 'unknown' || type === 'string' || Object.hasOwn(TENSOR_ARRAYS, type)
  for (const [what, values] of [
    ['input', inputs],
    ['output', outputs],
  ] as const) {
    const other = values.find((value) => !passes(value))
    if (other === undefined) continue
    const { name, type } = other
    throw new GraphRequestError(
      `the ${what} ${shown(name)} is ${type}, which can be inside of a model and not at its ends`,
      {
        name,
        type,
      },
    )
  }
}

/** @param optional names that may be missing. @throws GraphInputError */
export function checkNames(declared: readonly PlannedValue[], given: Tensors, optional: ReadonlySet<string>): void {
  const list = wants(declared)
  const known = new Set(declared.map(({ name }) => name))
  const missing = declared.filter(({ name }) => !given.has(name) && !optional.has(name))
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name)
    throw new GraphInputError(`the input ${names.slice(0, 4).map(shown).join(', ')} is missing`, list, {
      missing: names,
    })
  }
  const extra = [...given.keys()].filter((name) => !known.has(name))
  if (extra.length === 0) return
  throw new GraphInputError(`${extra.slice(0, 4).map(shown).join(', ')} is no input of the model`, list, { extra })
}

/** @throws GraphInputError */
export function checkTypes(declared: readonly PlannedValue[], given: Tensors): void {
  for (const { name, type } of declared) {
    const tensor = given.get(name)
    if (tensor === undefined || tensor.type === type) continue
    throw new GraphInputError(`the input ${shown(name)} is ${tensor.type}, not ${type}`, wants(declared), { name })
  }
}

export function fits(shape: Shape, dims: readonly number[]): boolean {
  if (shape === null) return true
  return shape.length === dims.length && shape.every((size, axis) => isFree(size) || size === dims[axis])
}

/** @throws GraphInputError */
export function checkShapes(declared: readonly PlannedValue[], given: Tensors): void {
  for (const { name, shape } of declared) {
    const tensor = given.get(name)
    if (tensor !== undefined && !fits(shape, tensor.dims)) throw misfit(declared, name, tensor)
  }
}

/** @throws GraphInputError */
export function misfit(
  declared: readonly PlannedValue[],
  name: string,
  { dims }: AnyTensor,
  also = '',
): GraphInputError {
  const why = `the input ${shown(name)} has shape [${dims.join(', ')}]${also}`
  return new GraphInputError(why, wants(declared), { name, shape: dims })
}
