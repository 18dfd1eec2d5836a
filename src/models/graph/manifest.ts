/**
 * The manifest of a model of any kind that was an ONNX file. Its skeleton, the graph without its weights, is a blob, and
 * each block lists what a stage of it needs: the skeleton first, then the weights of its nodes.
 */
import type { Optimization, PlannedValue } from '../../onnx/index.ts'
import type { BlobAddress } from '../../store/index.ts'
import type { ModelManifest } from '../manifest.ts'
import type { GraphText } from './text.ts'

export interface GraphTensor {
  /** Of an initializer; empty for the skeleton. */
  readonly name: string
  readonly type: string
  readonly shape: readonly number[]
  readonly bytes: number
  readonly address: BlobAddress
}

export interface GraphBlock {
  readonly kind: 'graph'
  /** The skeleton, and the weights that the block's nodes read. */
  readonly tensors: readonly GraphTensor[]
  /** Of its weights. */
  readonly bytes: number
  /** Bytes of weights in memory. */
  readonly memory: number
  /** For one request of nominal sizes. */
  readonly flops: number
  readonly kv_bytes: 0
  /** Bytes that cross the cut before it, for one request of nominal sizes; 0 for the first. */
  readonly boundary_bytes: number
}

export interface GraphShape {
  readonly inputs: readonly PlannedValue[]
  readonly outputs: readonly PlannedValue[]
  /** The level at which the cuts in `proven` gave the bits of the whole, all of them at once. */
  readonly optimization: Optimization
  /** Blocks that partitions began with in the proof. Empty: none was found, or nothing could be compared. */
  readonly proven: readonly number[]
  /** Values of float16 cross as float32. */
  readonly half_as_float: boolean
}

export interface GraphManifest {
  readonly schema: 'weft.manifest/1'
  readonly kind: 'graph'
  readonly model: string
  /** SHA-256 (hex) of the canonical form of inputs, outputs, text and blocks; not of what was proven, and where. */
  readonly digest: string
  readonly license: string
  readonly source: string
  readonly boundary: 'f32'
  readonly graph: GraphShape
  /** Of a graph that reads text, imported with its tokenizer. */
  readonly text?: GraphText
  /** The nodes between two neighbouring cuts that are offered, in the order in which `weft split` counts them. */
  readonly blocks: readonly GraphBlock[]
}

/** A language model, or a graph of any kind. What both have is enough to keep, share and place them. */
export type AnyManifest = ModelManifest | GraphManifest

export function isGraphManifest(manifest: AnyManifest): manifest is GraphManifest {
  return 'kind' in manifest
}

/** What a model has beside the tensors of its blocks, as a blob of its own. */
export function besideBlocks(
  manifest: AnyManifest,
): readonly { readonly address: BlobAddress; readonly bytes: number }[] {
  const { tokenizer } = isGraphManifest(manifest) ? (manifest.text ?? {}) : manifest
  return tokenizer === undefined ? [] : [tokenizer]
}
