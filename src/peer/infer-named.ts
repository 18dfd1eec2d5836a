/** `infer` as programs call it: plain records in and out. */
import type { AnyTensor } from '../onnx/index.ts'
import type { InferenceHop, InferenceStats, PlacementStage } from '../pipeline/index.ts'
import type { InferRequest } from './infer-mesh.ts'
import type { Peer } from './types.ts'

export interface InferOptions extends Omit<InferRequest, 'stages'> {
  /** `auto`: a part at each peer that is connected, this one included; `local`: this one alone; or stages by hand. */
  readonly placement?: 'auto' | 'local' | readonly PlacementStage[]
  readonly signal?: AbortSignal
}

export type NamedTensors = Readonly<Record<string, AnyTensor>>

export interface InferAnswer {
  /** As the model lists them. */
  readonly outputs: NamedTensors
  readonly route: readonly InferenceHop[]
  readonly stats: InferenceStats
}

/** @throws as `Peer.infer` does */
export async function inferNamed(
  peer: Pick<Peer, 'infer'>,
  model: string,
  inputs: NamedTensors,
  options: InferOptions = {},
): Promise<InferAnswer> {
  const { placement = 'auto', signal, ...request } = options
  const placed = typeof placement === 'object' ? { stages: placement } : placement === 'local' ? { parts: 1 } : {}
  const made = await peer.infer(model, new Map(Object.entries(inputs)), { ...request, ...placed }, signal)
  // Without a prototype, so that any name is only a name.
  const outputs = Object.create(null) as Record<string, AnyTensor>
  for (const [name, tensor] of made.outputs) outputs[name] = tensor
  return { ...made, outputs }
}
