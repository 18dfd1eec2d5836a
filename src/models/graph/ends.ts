/** What goes into a graph and comes out of it, as a manifest has it. */
import type { Model, PlannedValue, ValueInfo } from '../../onnx/index.ts'

export function inputsOf({ graph }: Model): readonly ValueInfo[] {
  return graph.inputs.filter(({ name }) => !graph.initializers.has(name) && !graph.sparseInitializers.has(name))
}

export function plannedValue({ name, type }: ValueInfo): PlannedValue {
  return type?.kind === 'tensor' ? { name, type: type.type, shape: type.shape } : { name, type: 'unknown', shape: null }
}

export function licenseOf({ metadata }: Model): string {
  return metadata.get('license') ?? metadata.get('License') ?? 'unknown'
}
