/** Convolutions that the engine has no kernel for as they are written. */
import type { Node } from '../../../onnx/index.ts'
import type { Rewrite } from '../rewrite.ts'
import { kernelOf, windowsOf } from '../rules/windows.ts'

/** `auto_pad` SAME over elements that lie apart: the engine takes either, not both. With its pads said it is any other. */
export const dilatedSame: Rewrite = (site) => {
  const { before, after } = windowsOf(site, kernelOf(site, site.input(1)), site.input(0))
  site.changed(site.node.inputs, ['auto_pad'], { pads: [...before, ...after] })
}

export function isDilatedSame({ attributes }: Node): boolean {
  const [mode, dilations] = [attributes.get('auto_pad'), attributes.get('dilations')]
  return (
    mode?.kind === 'string' &&
    Buffer.from(mode.value).toString().startsWith('SAME') &&
    dilations?.kind === 'ints' &&
    dilations.values.some((apart) => apart !== 1n)
  )
}
