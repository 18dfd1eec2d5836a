/** The model zoo for training: builders that write plain ONNX. */
import { TrainedModelError } from '../errors.ts'
import type { GraphMaker } from '../graph/graph-maker.ts'
import type { ModelSpec } from '../plan/schema.ts'
import { cnn } from './convolutional.ts'
import { decoder } from './decoder.ts'
import { autoencoder, linear, mlp } from './dense.ts'
import { matrixFactorisation, twoTowers } from './factors.ts'
import type { PairScore, PairSizes } from './factors.ts'
import { Layers } from './layers.ts'
import type { ActivationName, InitSpec } from './layers.ts'
import { recurrent } from './recurrent.ts'
import { resnet } from './residual.ts'
import type { ModelInput } from './types.ts'

export type { PairScore } from './factors.ts'
export type { InitSpec } from './layers.ts'
export type { ModelInput } from './types.ts'

export interface ZooRequest {
  readonly input: ModelInput
  /** Numbers for each example. */
  readonly outputs: number
  /** Without it, the last layer of a linear model has no bias: Cox's model knows none. */
  readonly bias: boolean
  readonly init: InitSpec
}

export interface ZooModel {
  /** [batch, outputs] */
  readonly scores: string
  /** Names of what is trained. */
  readonly parameters: readonly string[]
}

/** @throws TrainedModelError when the input is not of the kind that the model takes */
export function buildZooModel(maker: GraphMaker, spec: ModelSpec, request: ZooRequest): ZooModel {
  const layers = new Layers(maker, request.init)
  maker.named('model')
  const scores = build(layers, spec, request)
  return { scores, parameters: layers.parameters }
}

/** A model of pairs, whose score can be asked for more than one pair. @throws TrainedModelError */
export function buildPairModel(
  maker: GraphMaker,
  spec: ModelSpec,
  sizes: Omit<PairSizes, 'factors'>,
  init: InitSpec,
): { readonly score: PairScore; readonly parameters: readonly string[] } {
  const layers = new Layers(maker, init)
  maker.named('model')
  if (spec.kind === 'matrix-factorisation') {
    return { score: matrixFactorisation(layers, { ...sizes, factors: spec.factors }), parameters: layers.parameters }
  }
  if (spec.kind === 'two-towers') {
    const score = twoTowers(layers, { ...sizes, factors: spec.factors }, spec.hidden ?? [])
    return { score, parameters: layers.parameters }
  }
  throw new TrainedModelError(`${spec.kind} is no model of pairs, and the features are ids`)
}

export function isPairModel({ kind }: ModelSpec): boolean {
  return kind === 'matrix-factorisation' || kind === 'two-towers'
}

/** Tokens in, scores [batch, length, vocabulary] out. @throws TrainedModelError */
export function buildDecoder(
  maker: GraphMaker,
  spec: ModelSpec,
  tokens: string,
  sizes: { readonly vocabulary: number; readonly length: number },
  init: InitSpec,
): ZooModel {
  if (spec.kind !== 'decoder')
    throw new TrainedModelError(`${spec.kind} is no model of texts: "language" takes a decoder`)
  const { width, heads, kv_heads: kvHeads = heads } = spec
  if (width % (2 * heads) !== 0 || heads % kvHeads !== 0) {
    throw new TrainedModelError('the width has to be a multiple of 2 heads, and heads one of kv_heads')
  }
  const layers = new Layers(maker, init)
  maker.named('model')
  return { scores: decoder(layers, tokens, sizes, spec), parameters: layers.parameters }
}

function build(layers: Layers, spec: ModelSpec, { input, outputs, bias }: ZooRequest): string {
  switch (spec.kind) {
    case 'linear':
      return linear(layers, flat(layers, input), outputs, bias)
    case 'mlp':
      return mlp(layers, flat(layers, input), outputs, { ...activationOf(spec), hidden: spec.hidden, bias })
    case 'autoencoder':
      return autoencoder(layers, flat(layers, input), { ...activationOf(spec), hidden: spec.hidden })
    case 'cnn': {
      const { channels, hidden } = spec
      return cnn(layers, imageOf(spec.kind, input), outputs, {
        ...activationOf(spec),
        ...(channels === undefined ? {} : { channels }),
        ...(hidden === undefined ? {} : { hidden }),
      })
    }
    case 'resnet': {
      const { channels, blocks } = spec
      return resnet(layers, imageOf(spec.kind, input), outputs, {
        ...(channels === undefined ? {} : { channels }),
        ...(blocks === undefined ? {} : { blocks }),
      })
    }
    case 'gru':
    case 'lstm':
      if (input.dims.length === 2) return recurrent(layers, input, outputs, spec)
      throw new TrainedModelError(
        `${spec.kind} takes sequences [length, features], and an example is [${input.dims.join(', ')}]`,
      )
    default:
      throw new TrainedModelError(`${spec.kind} does not go with this task and these features`)
  }
}

function activationOf(spec: { readonly activation?: ActivationName | undefined }): { activation?: ActivationName } {
  return spec.activation === undefined ? {} : { activation: spec.activation }
}

/** An input with one axis beside the batch. */
function flat(layers: Layers, input: ModelInput): ModelInput {
  if (input.dims.length === 1) return input
  const size = input.dims.reduce((product, dim) => product * dim, 1)
  return { name: layers.maker.op('Flatten', [input.name], { axis: 1 }), dims: [size] }
}

function imageOf(kind: string, input: ModelInput): ModelInput {
  if (input.dims.length === 3) return input
  throw new TrainedModelError(
    `${kind} takes images [channels, height, width], and an example is [${input.dims.join(', ')}]`,
  )
}
