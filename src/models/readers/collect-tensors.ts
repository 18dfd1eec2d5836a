/** The tensors that a shape needs, each of exactly the shape it needs; anything else in the file is refused or named. */
import { EMBEDDING, headNorms, layerTensors, OUTPUT } from '../decoder-tensors.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { DecoderShape } from '../manifest.ts'
import type { FileTensor } from './gguf-tensors.ts'

/** Read elsewhere, or without influence on the numbers. */
const IGNORED =
  /^(rope_(freqs|factors_short|factors_long)\.weight|blk\.\d+\.attn\.rot_embd|blk\.\d+\.attn_rot_embd\.weight)$/

/**
 * @throws ModelFileError when one is missing or of another shape, UnsupportedModelError when there are tensors that
 * the graph does not have, since leaving them out would give wrong numbers in silence
 */
export function collectTensors(
  byName: ReadonlyMap<string, FileTensor>,
  shape: DecoderShape,
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
  take(EMBEDDING, [vocabulary, width])
  const own = layerTensors(shape)
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const tensor of own) take(`blk.${layer}.${tensor.name}`, tensor.shape)
  }
  for (const tensor of headNorms(shape)) take(tensor.name, tensor.shape)
  if (byName.has(OUTPUT)) take(OUTPUT, [vocabulary, width])
  for (const name of byName.keys()) {
    if (wanted.has(name) || IGNORED.test(name)) continue
    const what = name.endsWith('.bias') ? 'biases' : 'such tensors'
    throw new UnsupportedModelError(`the file has a tensor ${JSON.stringify(name)}: ${what} are not supported`, {
      why: `the graph of ${shape.family} has no place for it`,
      details: { tensor: name },
    })
  }
  return wanted
}
