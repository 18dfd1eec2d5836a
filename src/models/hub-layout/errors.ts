/** What has no place in the hub's layout. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class HubLayoutError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-111',
    title: "No model in the hub's layout",
    meaning:
      "Of what weft train makes, a decoder that was trained on texts alone is written in the hub's layout too (hub/): its tokens are bytes, which a tokenizer of the hub can say.",
    remedy: 'Train a model of kind "decoder" on data of kind "text", or take the graph: weft import DIR/model.onnx.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(path: string, why: string, hint?: string) {
    super(HubLayoutError.info, `there is no model in the hub's layout at ${JSON.stringify(path.slice(0, 200))}`, {
      why,
      details: { path },
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

export const HUB_LAYOUT_ERRORS: readonly ErrorInfo[] = [HubLayoutError.info]
