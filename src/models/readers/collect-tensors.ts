/** The tensors that a shape needs, each of exactly the shape it needs; anything else in the file is refused or named. */
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { LlamaShape } from '../manifest.ts'
import type { FileTensor } from './gguf-tensors.ts'
import { LAYER_TENSORS, layerShapes } from './source-model.ts'

/** Read elsewhere, or without influence on the numbers. */
const IGNORED = /^(rope_freqs\.weight|blk\.\d+\.attn\.rot_embd|blk\.\d+\.attn_rot_embd\.weight)$/

/**
 * @throws ModelFileError when one is missing or of another shape, UnsupportedModelError when there are tensors that
 * the Llama graph does not have, since leaving them out would give wrong numbers in silence
 */
export function collectTensors(
  byName: ReadonlyMap<string, FileTensor>,
  shape: LlamaShape,
): ReadonlyMap<string, FileTensor> {
  const wanted = new Map<string, FileTensor>()
  const take = (name: string, expected: readonly number[]): void => {
    const tensor = byName.get(name)
    if (tensor === undefined) throw new ModelFileError(name, 'the tensor is missing')
    if (tensor.shape.join() !== expected.join()) {
      throw new ModelFileError(name, `its shape is [${tensor.shape.join(', ')}], not [${expected.join(', ')}]`)
    }
    wanted.set(name, tensor)
  }
  const { width, vocabulary } = shape
  take('token_embd.weight', [vocabulary, width])
  const shapes = layerShapes(shape)
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of LAYER_TENSORS) take(`blk.${layer}.${part}.weight`, shapes[part])
  }
  take('output_norm.weight', [width])
  if (byName.has('output.weight')) take('output.weight', [vocabulary, width])
  for (const name of byName.keys()) {
    if (wanted.has(name) || IGNORED.test(name)) continue
    const what = name.endsWith('.bias') ? 'biases' : 'such tensors'
    throw new UnsupportedModelError(`the file has a tensor ${JSON.stringify(name)}: ${what} are not supported`, {
      why: 'the Llama graph has no place for it',
      details: { tensor: name },
    })
  }
  return wanted
}
