/** `gradient`: of a loss with respect to each float initializer of an ONNX model, for given inputs. */
import { resolve } from 'node:path'
import type { GradientsRequest, GradientsResult } from '../../../training/index.ts'
import type { CommandContext } from '../../context.ts'
import { UsageError } from '../../errors.ts'
import { loadFunction } from '../../rooms.ts'

const USAGE = 'usage: weft vectors gradient --in MODEL.onnx --inputs X.npz --loss OUTPUT --out G.npz'

export async function writeGradients({ flags, out, signal }: CommandContext): Promise<void> {
  const [model, inputs, loss, target] = ['in', 'inputs', 'loss', 'out'].map((name) => flags.text(name))
  if (model === undefined || inputs === undefined || loss === undefined || target === undefined) {
    throw new UsageError('weft vectors gradient needs --in, --inputs, --loss and --out', USAGE)
  }
  const request: GradientsRequest = { model: resolve(model), inputs: resolve(inputs), loss, out: resolve(target) }
  const compute = await loadFunction('training', 'writeGradients')
  const result = (await compute(request, signal)) as GradientsResult
  out.document({ schema: 'weft.vectors/1', suite: 'gradient', ...result })
}
