/** A skeleton from somewhere, held against the manifest that names it. */
import { checkModel, readModel, shown, tensorBytes } from '../../onnx/index.ts'
import type { DataType } from '../../onnx/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { ModelFileError } from '../errors.ts'
import type { GraphManifest, GraphTensor } from './manifest.ts'
import { ALONE, fromSkeleton } from './skeleton.ts'
import { inputsOf, plannedValue } from './ends.ts'

/**
 * Each weight has its place and the bytes of its shape, and what is left to be given and gives is what the manifest says.
 * @throws ModelFileError, what reading and checking a file throw
 */
export async function checkSkeleton(path: string, manifest: GraphManifest): Promise<void> {
  const weights = new Map<string, GraphTensor>()
  for (const { tensors } of manifest.blocks) for (const tensor of tensors.slice(1)) weights.set(tensor.name, tensor)
  const model = fromSkeleton(checkModel(await readModel(path, ALONE)), [...weights.values()], () => path)
  for (const { name, type, shape, bytes } of weights.values()) {
    // That the type is one, its place has said.
    const expected = tensorBytes(name, type as DataType, shape)
    if (expected !== bytes) {
      throw new ModelFileError('skeleton', `${shown(name)} has ${bytes} bytes where its shape asks for ${expected}`)
    }
  }
  const { inputs, outputs } = manifest.graph
  const told = { inputs: inputsOf(model).map(plannedValue), outputs: model.graph.outputs.map(plannedValue) }
  if (canonicalJson(told) !== canonicalJson({ inputs, outputs })) {
    throw new ModelFileError('skeleton', 'its inputs and outputs are not those that the manifest names')
  }
}
