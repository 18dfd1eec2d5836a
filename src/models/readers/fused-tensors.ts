/**
 * Tensors that hold several matrices one above the other, as the matrices that they hold: rows lie in a row, so that each
 * is a range of the same bytes.
 */
import { partShapes } from '../decoder-tensors.ts'
import type { LayerPart } from '../decoder-tensors.ts'
import { sourceBytes } from '../dequantize/index.ts'
import type { DecoderShape } from '../manifest.ts'
import type { FileTensor } from './gguf-tensors.ts'

interface Fused {
  /** Name of the whole within a layer, as GGUF has it. */
  readonly whole: string
  readonly parts: readonly LayerPart[]
}

const FUSED: readonly Fused[] = [
  { whole: 'attn_qkv', parts: ['attn_q', 'attn_k', 'attn_v'] },
  { whole: 'ffn_up', parts: ['ffn_gate', 'ffn_up'] },
]

/** The same tensors, each fused one that has the rows of its parts replaced by them. */
export function splitFused(byName: ReadonlyMap<string, FileTensor>, shape: DecoderShape): Map<string, FileTensor> {
  const rowsOf = (part: LayerPart): number => partShapes(shape)[part][0]!
  const split = new Map(byName)
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const { whole, parts } of FUSED) {
      const rows = parts.map(rowsOf)
      for (const kind of ['weight', 'bias'] as const) {
        const name = `blk.${layer}.${whole}.${kind}`
        const tensor = byName.get(name)
        const taken = parts.some((part) => part !== whole && byName.has(`blk.${layer}.${part}.${kind}`))
        if (tensor === undefined || taken || tensor.shape[0] !== rows.reduce((sum, count) => sum + count, 0)) continue
        split.delete(name)
        let first = 0
        for (const [index, part] of parts.entries()) {
          const own = `blk.${layer}.${part}.${kind}`
          split.set(own, rowRange(tensor, own, first, rows[index]!))
          first += rows[index]!
        }
      }
    }
  }
  return split
}

function rowRange(tensor: FileTensor, name: string, first: number, rows: number): FileTensor {
  const inner = tensor.shape.slice(1)
  const rowBytes = sourceBytes(
    tensor.type,
    inner.reduce((product, size) => product * size, 1),
  )
  return {
    name,
    type: tensor.type,
    shape: [rows, ...inner],
    offset: tensor.offset + first * rowBytes,
    bytes: rows * rowBytes,
  }
}
