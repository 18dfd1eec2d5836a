/** Residual networks for images (He et al., arXiv 1512.03385, in the order of arXiv 1603.05027). */
import type { Layers } from './layers.ts'
import type { ModelInput } from './types.ts'

/**
 * Stages of blocks, each stage with half the height and width of the one before. Group normalisation (Wu and He, arXiv
 * 1803.08494) and not that of batches: a small batch trains the same function that later answers.
 */
export function resnet(
  layers: Layers,
  { name, dims }: ModelInput,
  outputs: number,
  { channels = [16, 32], blocks = 1 }: { readonly channels?: readonly number[]; readonly blocks?: number },
): string {
  let from = channels[0]!
  let value = layers.conv('stem', name, dims[0]!, from, { activation: 'none' })
  for (const [stage, to] of channels.entries()) {
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      value = residualBlock(layers, `stage${stage}.block${block}`, value, { from, to, stride })
      from = to
    }
  }
  const last = layers.activate('relu', layers.groupNorm('norm', value, from))
  const pooled = layers.maker.op('GlobalAveragePool', [last])
  return layers.dense('dense0', layers.maker.op('Flatten', [pooled], { axis: 1 }), from, outputs)
}

function residualBlock(
  layers: Layers,
  name: string,
  x: string,
  { from, to, stride }: { readonly from: number; readonly to: number; readonly stride: number },
): string {
  const first = layers.activate('relu', layers.groupNorm(`${name}.norm0`, x, from))
  const middle = layers.conv(`${name}.conv0`, first, from, to, { stride, bias: false, activation: 'none' })
  const second = layers.activate('relu', layers.groupNorm(`${name}.norm1`, middle, to))
  const changed = layers.conv(`${name}.conv1`, second, to, to, { bias: false, activation: 'none' })
  const isSame = from === to && stride === 1
  const skipped = isSame ? x : layers.conv(`${name}.skip`, x, from, to, { kernel: 1, stride, bias: false })
  return layers.maker.op('Add', [changed, skipped])
}
