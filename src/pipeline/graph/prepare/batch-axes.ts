/** Whether a model's inputs have a batch dimension that all its outputs have too. */
import { inferShapes } from '../../../onnx/index.ts'
import type { Model, ValueType } from '../../../onnx/index.ts'
import type { BatchAxes } from './types.ts'

/**
 * By shapes alone, which is necessary and not enough: an operator may mix the rows of a batch and keep its size. So what
 * is cut along these axes is compared on a sample before it is relied on.
 * @returns the axes, or a sentence that says why there are none
 */
export function batchAxes(model: Model): BatchAxes | string {
  const inferred = inferShapes(model)
  const { graph } = model
  const given = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  const inputs = graph.inputs.filter(({ name }) => !given.has(name)).map(({ name }) => name)
  const outputs = graph.outputs.map(({ name }) => name)
  const free = new Set<string>()
  for (const name of inputs)
    for (const size of shapeOf(inferred.types.get(name)) ?? []) if (isName(size)) free.add(size)
  if (free.size === 0) return 'no input has a free dimension'
  let why = ''
  for (const dimension of free) {
    const found = axesFor(dimension, inputs, outputs, inferred.types)
    if (typeof found !== 'string') {
      const assumed = outputs.find((name) => inferred.assumed.has(name))
      if (assumed === undefined) return found
      why ||= `the shape of the output ${assumed} is only claimed by the file`
    } else why ||= found
  }
  return why
}

function axesFor(
  dimension: string,
  inputs: readonly string[],
  outputs: readonly string[],
  types: ReadonlyMap<string, ValueType>,
): BatchAxes | string {
  const axes: { inputs: [string, number][]; outputs: [string, number][] } = { inputs: [], outputs: [] }
  for (const kind of ['inputs', 'outputs'] as const) {
    for (const name of kind === 'inputs' ? inputs : outputs) {
      const shape = shapeOf(types.get(name))
      if (shape === null) return `the shape of ${name} is not known`
      const places = shape.flatMap((size, axis) => (typeof size === 'string' && size.includes(dimension) ? axis : []))
      if (places.length === 0 && kind === 'inputs') continue
      if (places.length !== 1 || shape[places[0]!] !== dimension) {
        return `the output ${name} does not have the free dimension of the inputs once`
      }
      axes[kind].push([name, places[0]!])
    }
  }
  return { dimension, inputs: record(axes.inputs), outputs: record(axes.outputs) }
}

function isName(size: string | number | null): size is string {
  return typeof size === 'string' && size !== ''
}

function shapeOf(type: ValueType | undefined): readonly (string | number | null)[] | null {
  return type?.kind === 'tensor' ? type.shape : null
}

/** Keeps `__proto__` a name. */
function record(entries: readonly (readonly [string, number])[]): Readonly<Record<string, number>> {
  return Object.fromEntries(entries)
}
