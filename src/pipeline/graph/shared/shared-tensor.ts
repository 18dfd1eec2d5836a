/** Tensors that lie in a segment, as messages name them. */
import type { AnyTensor } from '../../../onnx/index.ts'
import { TensorTableError } from '../errors.ts'
import { checkTable, packedOffsets, packTensors, unpackTensor } from '../tensors.ts'
import type { TensorRow, Tensors } from '../tensors.ts'
import { MAX_SEGMENT_BYTES, readSegment } from './segment.ts'
import type { SegmentWriter } from './segment.ts'

/** Name, element type, shape, bytes; which segment; where its block begins there, and the tensor in the block. */
export type SharedRow = readonly [...TensorRow, segment: number, block: number, offset: number]

export interface SharedTensor {
  readonly row: SharedRow
}

export type FlowValue = AnyTensor | SharedTensor
export type FlowValues = ReadonlyMap<string, FlowValue>

export function isShared(value: FlowValue): value is SharedTensor {
  return 'row' in value
}

/** Below this the frame that names a tensor carries it as cheaply. */
const SHARED_FROM_BYTES = 16 << 10

/** All of them in one block. @returns null where a message has to carry them: they are small, or there is no room */
export function shareTensors(writer: SegmentWriter, segment: number, tensors: Tensors): readonly SharedRow[] | null {
  const { table, parts, bytes } = packTensors(tensors)
  if (bytes < SHARED_FROM_BYTES) return null
  const block = writer.put(parts, bytes)
  if (block === null) return null
  const offsets = packedOffsets(table)
  return table.map((row, index) => [...row, segment, block, offsets[index]!] as const)
}

/** What another process says, held against itself. @param segments how many there are. @throws TensorTableError */
export function checkSharedRows(rows: unknown, segments: number): readonly SharedRow[] {
  if (rows === undefined) return []
  if (!Array.isArray(rows)) throw new TensorTableError('it has no list of shared tensors')
  const table = checkTable(rows.map((row: unknown) => (Array.isArray(row) ? row.slice(0, 4) : row)))
  return table.map((row, index) => {
    const [segment, block, offset] = (rows[index] as unknown[]).slice(4)
    const isKnown = isPlace(segment) && segment < segments && isPlace(block) && isPlace(offset)
    // Before memory is taken for it.
    if (!isKnown || block + offset + row[3] > MAX_SEGMENT_BYTES) {
      throw new TensorTableError('a shared tensor has no place', { name: row[0] })
    }
    return [...row, segment, block, offset]
  })
}

function isPlace(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** @param into memory for its bytes, which the tensor then holds. @throws TensorTableError */
export function readShared(
  [name, type, dims, bytes, , block, offset]: SharedRow,
  descriptor: number,
  into: Uint8Array,
): AnyTensor {
  if (!readSegment(descriptor, block + offset, into)) {
    throw new TensorTableError('a shared tensor lies beyond its segment', { name })
  }
  return unpackTensor([name, type, dims, bytes], into)
}
