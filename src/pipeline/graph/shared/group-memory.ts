/** The shared memory of a group of graph hosts, as their peer has it. */
import { closeSync } from 'node:fs'
import type { AnyTensor } from '../../../onnx/index.ts'
import { TensorTableError } from '../errors.ts'
import type { Tensors } from '../tensors.ts'
import { openSegment, SegmentWriter, unwritten } from './segment.ts'
import type { Segment } from './segment.ts'
import { checkSharedRows, readShared, shareTensors } from './shared-tensor.ts'
import type { SharedRow } from './shared-tensor.ts'

/** The peer's own segment is the first; that of host N is number N + 1. */
const PEER = 0

export class GroupMemory {
  readonly #segments: readonly Segment[]
  readonly #writer: SegmentWriter
  /** Hosts that have not ended. */
  #open: number

  private constructor(segments: readonly Segment[]) {
    this.#segments = segments
    this.#writer = new SegmentWriter(segments[PEER]!.write)
    this.#open = segments.length - 1
  }

  /** @returns null where there is no such memory, or too few descriptors for it */
  static open(folder: string, hosts: number): GroupMemory | null {
    const segments: Segment[] = []
    for (let index = 0; index <= hosts; index++) {
      const segment = openSegment(folder)
      if (segment === null) {
        for (const { read, write } of segments) for (const each of [read, write]) closeSync(each)
        return null
      }
      segments.push(segment)
    }
    return new GroupMemory(segments)
  }

  /** What a host is started with: all segments in order, its own to be written. */
  descriptorsFor(host: number): readonly number[] {
    return this.#segments.map(({ read, write }, index) => (index === host + 1 ? write : read))
  }

  /** All hosts have theirs: nobody else writes there from now on. */
  started(): void {
    for (const { write } of this.#segments.slice(1)) closeSync(write)
  }

  /** @returns null where a message has to carry them */
  write(tensors: Tensors): readonly SharedRow[] | null {
    if (this.#open === 0) return null
    return shareTensors(this.#writer, PEER, tensors)
  }

  free(block: number): void {
    this.#writer.free(block)
  }

  /** What a host says of its outputs: they can only be in its own segment. @throws TensorTableError */
  check(host: number, rows: unknown): readonly SharedRow[] {
    const checked = checkSharedRows(rows, this.#segments.length)
    const other = checked.find(([, , , , segment]) => segment !== host + 1)
    if (other !== undefined) throw new TensorTableError('a shared tensor lies in memory of others', { name: other[0] })
    return checked
  }

  /** @param into memory for its bytes, which the tensor then holds. @throws TensorTableError */
  read(row: SharedRow, into: Uint8Array = unwritten(row[3])): AnyTensor {
    // By now the number may be that of another file.
    if (this.#open === 0) throw new TensorTableError('its memory has ended with its hosts', { name: row[0] })
    return readShared(row, this.#segments[row[4]]!.read, into)
  }

  /** A host has ended; after the last one the memory is given back. */
  ended(): void {
    if (--this.#open > 0) return
    closeSync(this.#segments[PEER]!.write)
    for (const { read } of this.#segments) closeSync(read)
  }
}
