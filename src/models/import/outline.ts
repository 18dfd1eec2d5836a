/**
 * What a model file says of itself, from its header alone: no tensor is read, so the largest takes as long as its
 * vocabulary. The same blocks and costs as its manifest will have, without addresses and digest.
 */
import { makeBlock, planBlocks } from '../blocks.ts'
import type { OutlineTensor } from '../blocks.ts'
import type { Block, DecoderShape, WeightFormat } from '../manifest.ts'
import { isOnnxFile } from '../graph/onnx-file.ts'
import { outlineGraph } from '../graph/outline-graph.ts'
import type { GraphOutline } from '../graph/outline-graph.ts'
import { onnxOfFolder } from '../readers/onnx-folder.ts'
import { openModel } from '../readers/open-model.ts'

/** JSON-safe: it crosses to a child. */
export interface OutlineJob {
  /** A model file or an ONNX file, or a folder of a hub's layout. */
  readonly outline: string
  /** File of the tokenizer, for llama2.c models whose tokenizer is not beside them. */
  readonly tokenizer?: string
  readonly weights: WeightFormat
}

export interface OutlineBlock extends Omit<Block, 'tensors'> {
  readonly tensors: readonly OutlineTensor[]
}

/** JSON-safe. */
export interface ModelOutline {
  readonly license: string
  readonly shape: DecoderShape
  readonly blocks: readonly OutlineBlock[]
}

/** @throws what `outlineModel` and `outlineGraph` do */
export async function outlineAny(job: OutlineJob): Promise<ModelOutline | GraphOutline> {
  const { outline } = job
  const onnx = (await onnxOfFolder(outline)) ?? ((await isOnnxFile(outline)) ? outline : null)
  return onnx === null ? outlineModel(job) : outlineGraph(onnx)
}

/** @throws SourceFileError, ModelFileError, UnsupportedModelError, TokenizerDataError */
export async function outlineModel({ outline, tokenizer, weights }: OutlineJob): Promise<ModelOutline> {
  const { model, access } = await openModel(outline, tokenizer)
  try {
    const { license, shape, tensors } = model
    const blocks = planBlocks(shape, !tensors.has('output.weight')).map(({ kind, tensors: planned }): OutlineBlock => {
      const own = planned.map(({ name, shape: dims }): OutlineTensor => {
        const { type, bytes } = tensors.get(name)!
        return { name, type, shape: dims, bytes }
      })
      return makeBlock(kind, own, weights, shape)
    })
    return { license, shape, blocks }
  } finally {
    await access.close()
  }
}
